"""A DNS query and the cluster's records -> the answer; a pure function.

    SERVICE.NAMESPACE.svc.cluster.local             A: the cluster IP; headless: its endpoints; ExternalName: CNAME
    _PORT._PROTOCOL.SERVICE.NAMESPACE.svc...        SRV
    HOSTNAME.SERVICE.NAMESPACE.svc...               A: one endpoint, by its Pod's hostname or its address with dashes
    10-244-0-5.NAMESPACE.pod.cluster.local          A: the address itself (`pods insecure`)
    5.0.244.10.in-addr.arpa                         PTR: Service or endpoint
    dns-version.cluster.local                       TXT: the version of the naming scheme

A name that exists without a record of the type asked for is answered without records (NODATA), a name that does not
exist with NXDOMAIN, both with the zone's SOA. Names outside: SERVFAIL at once, for nobody else can be asked.
Models plugin/kubernetes of CoreDNS and the Kubernetes DNS specification 1.1.0.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from dnslib import AAAA, CNAME, EDNS0, NS, PTR, QTYPE, RCODE, RR, SOA, SRV, TXT, A, DNSRecord

from .records import Endpoint, Port, Records, Service, ServiceKey

TTL = 30
DNS_VERSION = "1.1.0"
DOMAIN = "cluster.local"
DNS_SERVICE = ServiceKey("kube-system", "kube-dns")
_LARGEST_UDP = 4096
_SMALLEST_UDP = 512
_LONGEST_CHAIN = 8


class NoSuchName(Exception):
    """Nothing exists at or below the name asked for."""


class OutsideName(Exception):
    """The name belongs to none of the zones that are served here."""


@dataclass(frozen=True)
class Target:
    """One thing that a Service's name stands for: a name of its own, an address, a port."""

    name: str
    ip: str
    port: int


@dataclass
class Found:
    """The records of an answer."""

    answers: list[RR]
    extra: list[RR]


def answer(query: DNSRecord, records: Records, *, random: Random | None = None) -> DNSRecord:
    """Answers a query. With `random` the order of addresses changes from answer to answer."""
    reply = query.reply(ra=1, aa=1)
    # A reply starts with the flags of its query, whatever nonsense was in them.
    reply.header.rcode = RCODE.NOERROR
    reply.header.tc = 0
    if any(record.rtype == QTYPE.OPT for record in query.ar):
        reply.add_ar(EDNS0(udp_len=_LARGEST_UDP))
    if query.header.opcode != 0 or len(query.questions) != 1:
        reply.header.aa = 0
        reply.header.rcode = RCODE.NOTIMP if query.header.opcode else RCODE.FORMERR
        return reply
    question = query.q
    resolver = _Resolver(records)
    try:
        found = resolver.find(str(question.qname), QTYPE[question.qtype])
    except OutsideName:
        reply.header.aa = 0
        reply.header.rcode = RCODE.SERVFAIL
        return reply
    except NoSuchName:
        reply.header.rcode = RCODE.NXDOMAIN
        reply.add_auth(resolver.soa())
        return reply
    if not found.answers:
        reply.add_auth(resolver.soa())
        return reply
    if random is not None and len(found.answers) > 1:
        # Not in front of the CNAME which leads to them.
        aliases = [record for record in found.answers if record.rtype == QTYPE.CNAME]
        others = [record for record in found.answers if record.rtype != QTYPE.CNAME]
        random.shuffle(others)
        found.answers = aliases + others
    reply.add_answer(*found.answers)
    reply.add_ar(*found.extra)
    return reply


def fit(reply: DNSRecord, query: DNSRecord) -> bytes:
    """The answer as a UDP datagram; one that is too long for the client is cut and says so (TC)."""
    wire: bytes = reply.pack()
    if len(wire) <= udp_limit(query):
        return wire
    cut: DNSRecord = reply.truncate()
    return bytes(cut.pack())


def udp_limit(query: DNSRecord) -> int:
    """How long a datagram the client takes: 512 bytes unless it says more (EDNS)."""
    offered = max((record.edns_len for record in query.ar if record.rtype == QTYPE.OPT), default=_SMALLEST_UDP)
    return int(min(max(offered, _SMALLEST_UDP), _LARGEST_UDP))


class _Resolver:
    def __init__(self, records: Records) -> None:
        self.records = records

    def soa(self) -> RR:
        times = (self.records.serial, 7200, 1800, 86400, TTL)
        soa = SOA(f"ns.dns.{DOMAIN}.", f"hostmaster.{DOMAIN}.", times)
        return RR(f"{DOMAIN}.", QTYPE.SOA, ttl=TTL, rdata=soa)

    def find(self, name: str, kind: str, depth: int = 0) -> Found:
        """The records of that type at a name."""
        plain = name.rstrip(".").lower()
        if plain == DOMAIN:
            return self._apex(name, kind)
        if plain.endswith("." + DOMAIN):
            return self._inside(name, plain[: -len(DOMAIN) - 1].split("."), kind, depth)
        if plain.endswith(".in-addr.arpa"):
            return self._reverse(name, plain, kind)
        if "." not in plain:
            # A single label is no name on the internet either, and clients ask for it after the search list.
            raise NoSuchName
        raise OutsideName

    def _apex(self, name: str, kind: str) -> Found:
        if kind == "SOA":
            return Found([self.soa()], [])
        if kind != "NS" or DNS_SERVICE not in self.records.services:
            return Found([], [])
        server = self._name(DNS_SERVICE)
        addresses = self.records.services[DNS_SERVICE].cluster_ips
        return Found([_record(name, "NS", NS(server))], [_address(server, ip) for ip in addresses])

    def _inside(self, name: str, labels: list[str], kind: str, depth: int) -> Found:
        if labels == ["dns-version"]:
            return Found([_record(name, "TXT", TXT(DNS_VERSION))] if kind == "TXT" else [], [])
        if labels == ["ns", "dns"]:
            service = self.records.services.get(DNS_SERVICE)
            return self._addresses(name, service.cluster_ips if service else (), kind)
        *rest, branch = labels
        if branch == "svc":
            return self._below_svc(name, rest, kind, depth)
        if branch == "pod":
            return self._below_pod(name, rest, kind)
        raise NoSuchName

    def _below_svc(self, name: str, labels: list[str], kind: str, depth: int) -> Found:
        if not labels:
            return Found([], [])
        *rest, namespace = labels
        if namespace not in self.records.namespaces or len(rest) > 3:
            raise NoSuchName
        if not rest:
            return Found([], [])
        *rest, service_name = rest
        service = self.records.services.get(ServiceKey(namespace, service_name))
        if service is None:
            raise NoSuchName
        if service.external_name:
            if rest:
                raise NoSuchName
            return self._alias(name, service.external_name, kind, depth)
        targets = list(self._targets(service, rest))
        if not targets:
            raise NoSuchName
        if kind == "SRV":
            return _srv(name, targets)
        return self._addresses(name, list(dict.fromkeys(target.ip for target in targets)), kind)

    def _targets(self, service: Service, rest: Sequence[str]) -> Iterator[Target]:
        """What a name below a Service stands for: no label: all of it; one: an endpoint; two: a port by name."""
        port, protocol = (rest[0].removeprefix("_"), rest[1].removeprefix("_")) if len(rest) == 2 else ("", "")
        if service.headless or len(rest) == 1:
            for endpoint in self.records.endpoints(service.key):
                if len(rest) != 1 or endpoint.hostname == rest[0]:
                    yield from self._endpoint(service.key, endpoint, port, protocol)
            return
        name = self._name(service.key)
        for candidate in service.ports:
            if _fits(candidate, port, protocol):
                for ip in service.cluster_ips:
                    yield Target(name, ip, candidate.number)

    def _endpoint(self, key: ServiceKey, endpoint: Endpoint, port: str, protocol: str) -> Iterator[Target]:
        for candidate in endpoint.ports:
            if _fits(candidate, port, protocol):
                yield Target(f"{endpoint.hostname}.{self._name(key)}", endpoint.ip, candidate.number)

    def _below_pod(self, name: str, labels: list[str], kind: str) -> Found:
        if not labels:
            return Found([], [])
        *rest, namespace = labels
        if namespace not in self.records.namespaces or len(rest) > 1:
            raise NoSuchName
        if not rest:
            return Found([], [])
        try:
            ip = ipaddress.IPv4Address(rest[0].replace("-", "."))
        except ValueError:
            raise NoSuchName from None
        return self._addresses(name, (str(ip),), kind)

    def _alias(self, name: str, target: str, kind: str, depth: int) -> Found:
        found = Found([_record(name, "CNAME", CNAME(target + "."))], [])
        if kind == "CNAME" or depth >= _LONGEST_CHAIN:
            return found
        try:
            beyond = self.find(target + ".", kind, depth + 1)
        except (NoSuchName, OutsideName):
            return found
        return Found(found.answers + beyond.answers, beyond.extra)

    def _reverse(self, name: str, plain: str, kind: str) -> Found:
        labels = plain.removesuffix(".in-addr.arpa").split(".")
        try:
            address = ipaddress.IPv4Address(".".join(reversed(labels)))
        except ValueError:
            raise NoSuchName from None
        names = list(self._names_of(str(address)))
        if names:
            return Found([_record(name, "PTR", PTR(target)) for target in names] if kind == "PTR" else [], [])
        if address.is_private:
            # Nobody outside could know a private address either (RFC 6303).
            raise NoSuchName
        raise OutsideName

    def _names_of(self, ip: str) -> Iterator[str]:
        key = self.records.service_of_ip(ip)
        if key is not None:
            yield self._name(key)
            return
        for service, endpoint in self.records.endpoints_of_ip(ip):
            yield f"{endpoint.hostname}.{self._name(service)}"

    def _name(self, key: ServiceKey) -> str:
        return f"{key.name}.{key.namespace}.svc.{DOMAIN}."

    @staticmethod
    def _addresses(name: str, ips: Sequence[str], kind: str) -> Found:
        return Found([_address(name, ip) for ip in ips if ("AAAA" if ":" in ip else "A") == kind], [])


def _fits(port: Port, name: str, protocol: str) -> bool:
    return (not name or port.name == name) and (not protocol or port.protocol == protocol)


def _record(name: str, kind: str, data: object) -> RR:
    return RR(name, getattr(QTYPE, kind), ttl=TTL, rdata=data)


def _address(name: str, ip: str) -> RR:
    return _record(name, "AAAA", AAAA(ip)) if ":" in ip else _record(name, "A", A(ip))


def _srv(name: str, targets: Sequence[Target]) -> Found:
    known = [target for target in targets if target.port >= 0]
    weight = max(100 // len(known), 1) if known else 0
    answers = [_record(name, "SRV", SRV(0, weight, target.port, target.name)) for target in known]
    addresses = dict.fromkeys((target.name, target.ip) for target in known)
    return Found(answers, [_address(target, ip) for target, ip in addresses])
