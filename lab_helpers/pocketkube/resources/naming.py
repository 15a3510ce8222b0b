"""What names, labels and values may look like: the formats that every kind shares.

Each function answers with the problems of a text, in upstream's words; none means it is fine.
Which field must have which format is left to the kinds.
Models apimachinery pkg/util/validation/validation.go (v1.36).
"""

from __future__ import annotations

import ipaddress
import re

SAFE_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""What generated names are made of: it spells no words. Models apimachinery pkg/util/rand."""

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_UNDERSCORED_LABEL = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_UNDERSCORED = rf"{_UNDERSCORED_LABEL}(\.{_UNDERSCORED_LABEL})*"
_WILDCARD = rf"\*\.{_SUBDOMAIN}"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = f"({_QUALIFIED})?"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_PORT_NAME = "[-a-z0-9]+"
_HEADER_NAME = "[-A-Za-z0-9]+"
_RELAXED_ENV = r"[\x20-\x3C\x3E-\x7E]+"


def _regex_problem(start: str, pattern: str, *examples: str) -> str:
    """The text that names the expression and examples of it."""
    said = ""
    for number, example in enumerate(examples):
        said += (" or " if number else "") + f"'{example}', "
    return f"{start} (e.g. {said}regex used for validation is '{pattern}')"


_LABEL_PROBLEM = _regex_problem(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character",
    _LABEL,
    "my-name",
    "123-abc",
)
_SUBDOMAIN_PROBLEM = _regex_problem(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character",
    _SUBDOMAIN,
    "example.com",
)
_UNDERSCORED_PROBLEM = _regex_problem(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', "
    "and must start and end with an alphanumeric character",
    _UNDERSCORED,
    "example.com",
)
_WILDCARD_PROBLEM = _regex_problem(
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
    "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
    _WILDCARD,
    "*.example.com",
)
_QUALIFIED_START = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_NO_ADDRESS = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_BITS_BEYOND = "must not have bits set beyond the prefix length"
_QUALIFIED_EXAMPLES = ("MyName", "my.name", "123-abc")


def max_length_problem(length: int) -> str:
    """The text for a name that is too long."""
    return f"must be no more than {length} characters"


def max_bytes_problem(length: int) -> str:
    """The text for a label that is too long: it counts bytes, and says so."""
    return f"must be no more than {length} bytes"


def label_problems(text: str) -> list[str]:
    """Problems of an RFC 1123 label: the name of a container, namespace, ..."""
    dotted = re.fullmatch(_SUBDOMAIN, text) is not None
    return _format_problems(text, 63, _LABEL, "must not contain dots" if dotted else _LABEL_PROBLEM)


def subdomain_problems(text: str) -> list[str]:
    """Problems of an RFC 1123 subdomain: the name of most objects."""
    return _format_problems(text, 253, _SUBDOMAIN, _SUBDOMAIN_PROBLEM)


def wildcard_problems(text: str) -> list[str]:
    """Problems of a subdomain that begins with a star: the host of an Ingress."""
    return _format_problems(text, 253, _WILDCARD, _WILDCARD_PROBLEM)


def path_segment_problems(text: str) -> list[str]:
    """Problems of a name that is only asked to fit into a URL path."""
    if text in (".", ".."):
        return [f"may not be '{text}'"]
    return [f"may not contain '{illegal}'" for illegal in ("/", "%") if illegal in text]


def _format_problems(text: str, limit: int, pattern: str, problem: str) -> list[str]:
    problems = [max_length_problem(limit)] if len(text.encode()) > limit else []
    if not re.fullmatch(pattern, text):
        problems.append(problem)
    return problems


def label_key_problems(text: str) -> list[str]:
    """Problems of a label's or annotation's key: `name` or `prefix/name`."""
    prefix, slash, name = text.rpartition("/")
    if text.count("/") > 1:
        problem = _regex_problem(f"a valid label key {_QUALIFIED_START}", _QUALIFIED, *_QUALIFIED_EXAMPLES)
        return [f"{problem} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    problems: list[str] = []
    if slash and not prefix:
        problems.append("prefix part must be non-empty")
    elif slash:
        problems += [f"prefix part {problem}" for problem in subdomain_problems(prefix)]
    if not name:
        problems.append("name part must be non-empty")
    elif len(name) > 63:
        problems.append(f"name part {max_bytes_problem(63)}")
    if not re.fullmatch(_QUALIFIED, name):
        problems.append("name part " + _regex_problem(_QUALIFIED_START, _QUALIFIED, *_QUALIFIED_EXAMPLES))
    return problems


def label_value_problems(text: str) -> list[str]:
    """Problems of a label's value."""
    problems = [max_bytes_problem(63)] if len(text.encode()) > 63 else []
    if not re.fullmatch(_LABEL_VALUE, text):
        rest = _QUALIFIED_START.removeprefix("must consist of ")
        start = f"a valid label must be an empty string or consist of {rest}"
        problems.append(_regex_problem(start, _LABEL_VALUE, "MyValue", "my_value", "12345"))
    return problems


def port_number_problems(number: int) -> list[str]:
    """Problems of a port number."""
    return [] if 1 <= number <= 65535 else ["must be between 1 and 65535, inclusive"]


def port_name_problems(text: str) -> list[str]:
    """Problems of an IANA service name, as a container's port has it."""
    problems: list[str] = []
    if len(text) > 15:
        problems.append("must be no more than 15 characters")
    if not re.fullmatch(_PORT_NAME, text):
        problems.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", text):
        problems.append("must contain at least one letter (a-z)")
    if "--" in text:
        problems.append("must not contain consecutive hyphens")
    if text[:1] == "-" or text[-1:] == "-":
        problems.append("must not begin or end with a hyphen")
    return problems


def ip_problems(text: str) -> list[str]:
    """Problems of an IP address; one with leading zeros is refused."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        if _is_address_but_for_zeros(text):
            return ["must not have leading 0s"]
        return [_NO_ADDRESS]
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return ["must not be an IPv4-mapped IPv6 address"]
    return []


def _is_address_but_for_zeros(text: str) -> bool:
    """True for `10.0.0.01`, which some programs read as octal."""
    octets = text.split(".")
    return len(octets) == 4 and all(re.fullmatch("[0-9]+", octet) and int(octet) <= 255 for octet in octets)


def cidr_problems(text: str) -> list[str]:
    """Problems of an address range."""
    wrong = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
    address, slash, length = text.partition("/")
    if not slash or not re.fullmatch("[0-9]{1,3}", length) or ip_problems(address) == [_NO_ADDRESS]:
        return [wrong]
    if _is_address_but_for_zeros(address) and ip_problems(address) or (length != "0" and length.startswith("0")):
        return ["must not have leading 0s in IP or prefix length"]
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return [wrong]
    if ip_problems(address):
        return ["must not have an IPv4-mapped IPv6 address"]
    return [] if network.network_address == ipaddress.ip_address(address) else [_BITS_BEYOND]


def env_name_problems(text: str) -> list[str]:
    """Problems of the name of an environment variable."""
    if not text:
        return ["environment variable name must be non-empty"]
    if not re.fullmatch(_RELAXED_ENV, text):
        return ["a valid environment variable name must consist only of printable ASCII characters other than '='"]
    return []


def header_name_problems(text: str) -> list[str]:
    """Problems of the name of an HTTP header."""
    if re.fullmatch(_HEADER_NAME, text):
        return []
    start = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return [_regex_problem(start, _HEADER_NAME, "X-Header-Name")]


def underscored_subdomain_problems(text: str) -> list[str]:
    """Problems of a subdomain that may have underscores in it: a DNS search path."""
    return _format_problems(text, 253, _UNDERSCORED, _UNDERSCORED_PROBLEM)


def config_key_problems(text: str) -> list[str]:
    """Problems of a key in a ConfigMap or Secret."""
    problems = [max_length_problem(253)] if len(text) > 253 else []
    if not re.fullmatch(_CONFIG_KEY, text):
        start = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        problems.append(_regex_problem(start, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    if text == ".":
        problems.append("must not be '.'")
    elif text == "..":
        problems.append("must not be '..'")
    elif text.startswith(".."):
        problems.append("must not start with '..'")
    return problems
