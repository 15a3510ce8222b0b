"""Addresses that can't be an endpoint of anything, and addresses in an unusual form.

Models core/validation ValidateEndpointIP and apimachinery pkg/util/validation/ip.go (v1.36).
"""

from __future__ import annotations

import ipaddress


def special_address_problem(text: str) -> str:
    """Why an address can't be the target of traffic from elsewhere; "" if it can."""
    address = ipaddress.ip_address(text)
    if address.is_unspecified:
        return f"may not be unspecified ({text})"
    if address.is_loopback:
        return "may not be in the loopback range (127.0.0.0/8, ::1/128)"
    if address.is_link_local:
        return "may not be in the link-local range (169.254.0.0/16, fe80::/10)"
    if address.is_multicast and address in _LINK_LOCAL_MULTICAST[address.version]:
        return "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"
    return ""


_LINK_LOCAL_MULTICAST = {4: ipaddress.ip_network("224.0.0.0/24"), 6: ipaddress.ip_network("ff02::/16")}


def address_warnings(text: str, path: str) -> list[str]:
    """That an IPv6 address has a shorter or plainer form."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return []
    if address.version == 4 or str(address) == text:
        return []
    return [f'{path}: IPv6 address "{text}" should be in RFC 5952 canonical format ("{address}")']


def canonical_problems(text: str) -> list[str]:
    """That a valid address isn't written the one way it should be."""
    address = str(ipaddress.ip_address(text))
    return [] if address == text else [f'must be in canonical form ("{address}")']


def range_warnings(text: str, path: str) -> list[str]:
    """As `address_warnings`, for a range."""
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        return []
    if network.version == 4 or str(network) == text:
        return []
    return [f'{path}: IPv6 CIDR value "{text}" should be in RFC 5952 canonical format ("{network}")']
