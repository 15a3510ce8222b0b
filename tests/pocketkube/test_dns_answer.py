"""The cluster's names: which exist, what they stand for, and what is said of those that don't."""

from __future__ import annotations

import time
from random import Random
from typing import Any

import pytest
from dnslib import EDNS0, QTYPE, RCODE, DNSQuestion, DNSRecord

from lab_helpers.pocketkube.dns.answer import answer, fit
from lab_helpers.pocketkube.dns.records import Records
from lab_helpers.pocketkube.dns.server import DnsServer
from lab_helpers.pocketkube.objects import Obj

SVC = "default.svc.cluster.local"


def service(name: str, ip: str, *ports: tuple[str, str, int], namespace: str = "default", **spec: Any) -> Obj:
    listed = [{"name": port, "protocol": protocol, "port": number} for port, protocol, number in ports]
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"clusterIP": ip, "clusterIPs": [ip], "ports": listed, **spec},
    }


def endpoint_slice(service: str, endpoints: list[Obj], *ports: tuple[str, str, int], suffix: str = "a") -> Obj:
    return {
        "metadata": {
            "name": f"{service}-{suffix}",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": service},
        },
        "endpoints": endpoints,
        "ports": [{"name": name, "protocol": protocol, "port": number} for name, protocol, number in ports],
    }


def endpoint(ip: str, ready: bool = True, **more: str) -> Obj:
    return {"addresses": [ip], "conditions": {"ready": ready}, **more}


@pytest.fixture
def records() -> Records:
    known = Records()
    for namespace in ("default", "kube-system"):
        known.handle_namespace("ADDED", {"metadata": {"name": namespace}}, None)
    dns = service("kube-dns", "10.96.0.10", ("dns", "UDP", 53), ("dns-tcp", "TCP", 53), namespace="kube-system")
    for obj in (
        dns,
        service("web", "10.96.0.20", ("http", "TCP", 80)),
        service("db", "None", ("sql", "TCP", 5432)),
        service("empty", "None", ("x", "TCP", 1)),
        service("bare", "None"),
        service("out", "", type="ExternalName", externalName="example.org"),
        service("loop", "", type="ExternalName", externalName=f"loop.{SVC}"),
        service("alias", "", type="ExternalName", externalName=f"web.{SVC}."),
    ):
        known.handle_service("ADDED", obj, None)
    ready = [endpoint("10.244.0.5", hostname="db-0"), endpoint("10.244.0.6"), endpoint("10.244.0.7", ready=False)]
    known.handle_slice("ADDED", endpoint_slice("db", ready, ("sql", "TCP", 5432)), None)
    known.handle_slice("ADDED", endpoint_slice("web", [endpoint("10.244.0.8")], ("http", "TCP", 8080)), None)
    known.handle_slice("ADDED", endpoint_slice("empty", []), None)
    known.handle_slice("ADDED", endpoint_slice("bare", [endpoint("10.244.0.9")]), None)
    return known


def ask(records: Records, name: str, kind: str = "A") -> tuple[str, list[str]]:
    """The response code and the answers as `TYPE data`."""
    reply = answer(DNSRecord.question(name, kind), records)
    return RCODE[reply.header.rcode], [f"{QTYPE[record.rtype]} {record.rdata}" for record in reply.rr]


@pytest.mark.parametrize(
    ("name", "kind", "answers"),
    [
        (f"web.{SVC}", "A", ["A 10.96.0.20"]),
        ("WEB.Default.SVC.cluster.LOCAL.", "A", ["A 10.96.0.20"]),
        (f"web.{SVC}", "SRV", [f"SRV 0 100 80 web.{SVC}."]),
        (f"_http._tcp.web.{SVC}", "SRV", [f"SRV 0 100 80 web.{SVC}."]),
        (f"_http._tcp.web.{SVC}", "A", ["A 10.96.0.20"]),
        (f"db.{SVC}", "A", ["A 10.244.0.5", "A 10.244.0.6"]),
        (f"db-0.db.{SVC}", "A", ["A 10.244.0.5"]),
        (f"10-244-0-6.db.{SVC}", "A", ["A 10.244.0.6"]),
        (f"10-244-0-8.web.{SVC}", "A", ["A 10.244.0.8"]),
        (f"bare.{SVC}", "A", ["A 10.244.0.9"]),
        (f"_sql._tcp.db.{SVC}", "SRV", [f"SRV 0 50 5432 db-0.db.{SVC}.", f"SRV 0 50 5432 10-244-0-6.db.{SVC}."]),
        (f"out.{SVC}", "A", ["CNAME example.org."]),
        (f"out.{SVC}", "CNAME", ["CNAME example.org."]),
        (f"alias.{SVC}", "A", [f"CNAME web.{SVC}.", "A 10.96.0.20"]),
        ("10-1-2-3.default.pod.cluster.local", "A", ["A 10.1.2.3"]),
        ("20.0.96.10.in-addr.arpa", "PTR", [f"PTR web.{SVC}."]),
        ("5.0.244.10.in-addr.arpa", "PTR", [f"PTR db-0.db.{SVC}."]),
        ("6.0.244.10.in-addr.arpa", "PTR", [f"PTR 10-244-0-6.db.{SVC}."]),
        ("dns-version.cluster.local", "TXT", ['TXT "1.1.0"']),
        ("cluster.local", "NS", ["NS kube-dns.kube-system.svc.cluster.local."]),
        ("ns.dns.cluster.local", "A", ["A 10.96.0.10"]),
    ],
)
def test_names_that_stand_for_something(records: Records, name: str, kind: str, answers: list[str]) -> None:
    assert ask(records, name, kind) == ("NOERROR", answers)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (f"web.{SVC}", "AAAA"),
        (f"web.{SVC}", "MX"),
        (f"web.{SVC}", "HTTPS"),
        (f"bare.{SVC}", "SRV"),
        (f"db.{SVC}", "AAAA"),
        (SVC, "A"),
        ("svc.cluster.local", "A"),
        ("pod.cluster.local", "A"),
        ("default.pod.cluster.local", "A"),
        ("cluster.local", "A"),
        ("dns-version.cluster.local", "A"),
        ("20.0.96.10.in-addr.arpa", "A"),
    ],
)
def test_names_that_exist_without_such_a_record(records: Records, name: str, kind: str) -> None:
    reply = answer(DNSRecord.question(name, kind), records)
    assert (RCODE[reply.header.rcode], reply.rr) == ("NOERROR", [])
    assert [(QTYPE[record.rtype], record.ttl) for record in reply.auth] == [("SOA", 30)]


@pytest.mark.parametrize(
    "name",
    [
        f"nosuch.{SVC}",
        "web.nosuch.svc.cluster.local",
        "nosuch.svc.cluster.local",
        f"_nosuch._tcp.web.{SVC}",
        f"_http._udp.web.{SVC}",
        f"10-244-0-7.db.{SVC}",
        f"too.many.labels.web.{SVC}",
        f"x.out.{SVC}",
        f"empty.{SVC}",
        "10-1-2.default.pod.cluster.local",
        "10-1-2-3.nosuch.pod.cluster.local",
        "x.10-1-2-3.default.pod.cluster.local",
        "x.cluster.local",
        "web.default.cluster.local",
        "7.0.244.10.in-addr.arpa",
        "x.10.in-addr.arpa",
        "nosuch",
    ],
)
def test_names_that_do_not_exist(records: Records, name: str) -> None:
    reply = answer(DNSRecord.question(name), records)
    assert RCODE[reply.header.rcode] == "NXDOMAIN"
    assert reply.header.aa == 1
    (soa,) = reply.auth
    assert str(soa.rdata).startswith("ns.dns.cluster.local. hostmaster.cluster.local. ")


@pytest.mark.parametrize("name", ["example.org", "www.example.org", "8.8.8.8.in-addr.arpa", "notcluster.local"])
def test_names_outside_fail_at_once(records: Records, name: str) -> None:
    reply = answer(DNSRecord.question(name), records)
    assert (RCODE[reply.header.rcode], reply.header.aa) == ("SERVFAIL", 0)


def test_an_alias_of_itself_comes_to_an_end(records: Records) -> None:
    code, answers = ask(records, f"loop.{SVC}")
    assert code == "NOERROR" and 1 <= len(answers) <= 10


def test_srv_brings_the_addresses_along(records: Records) -> None:
    reply = answer(DNSRecord.question(f"_sql._tcp.db.{SVC}", "SRV"), records)
    assert [f"{record.rname} {record.rdata}" for record in reply.ar] == [
        f"db-0.db.{SVC}. 10.244.0.5",
        f"10-244-0-6.db.{SVC}. 10.244.0.6",
    ]


def test_answers_live_for_thirty_seconds_and_keep_the_case_of_the_question(records: Records) -> None:
    (record,) = answer(DNSRecord.question(f"wEb.{SVC}"), records).rr
    assert record.ttl == 30
    assert str(record.rname) == f"wEb.{SVC}."


def test_the_order_of_addresses_changes(records: Records) -> None:
    random = Random(1)
    query = DNSRecord.question(f"db.{SVC}")
    first = {str(answer(query, records, random=random).rr[0].rdata) for _ in range(30)}
    assert first == {"10.244.0.5", "10.244.0.6"}


def test_records_follow_the_cluster(records: Records) -> None:
    old = endpoint_slice("web", [endpoint("10.244.0.8")], ("http", "TCP", 8080))
    new = endpoint_slice("web", [endpoint("10.244.0.80")], ("http", "TCP", 8080))
    records.handle_slice("MODIFIED", new, old)
    assert ask(records, "8.0.244.10.in-addr.arpa", "PTR")[0] == "NXDOMAIN"
    assert ask(records, f"10-244-0-80.web.{SVC}")[1] == ["A 10.244.0.80"]
    records.handle_slice("DELETED", None, new)
    assert ask(records, f"10-244-0-80.web.{SVC}")[0] == "NXDOMAIN"
    web = service("web", "10.96.0.20", ("http", "TCP", 80))
    records.handle_service("MODIFIED", service("web", "10.96.0.21", ("http", "TCP", 80)), web)
    assert ask(records, f"web.{SVC}")[1] == ["A 10.96.0.21"]
    assert ask(records, "20.0.96.10.in-addr.arpa", "PTR")[0] == "NXDOMAIN"
    records.handle_service("DELETED", None, web)
    assert ask(records, f"web.{SVC}")[0] == "NXDOMAIN"
    records.handle_namespace("DELETED", None, {"metadata": {"name": "default"}})
    assert ask(records, "10-1-2-3.default.pod.cluster.local")[0] == "NXDOMAIN"


def test_an_endpoint_in_two_slices_is_one_and_stays_while_one_is_left(records: Records) -> None:
    again = endpoint_slice("web", [endpoint("10.244.0.8")], ("http", "TCP", 8080), suffix="b")
    records.handle_slice("ADDED", again, None)
    assert ask(records, f"10-244-0-8.web.{SVC}")[1] == ["A 10.244.0.8"]
    records.handle_slice("DELETED", None, again)
    assert ask(records, "8.0.244.10.in-addr.arpa", "PTR")[1] == [f"PTR 10-244-0-8.web.{SVC}."]


def many_endpoints(count: int) -> Records:
    known = Records()
    known.handle_namespace("ADDED", {"metadata": {"name": "default"}}, None)
    known.handle_service("ADDED", service("db", "None", ("sql", "TCP", 5432)), None)
    listed = [endpoint(f"10.244.{n // 250}.{n % 250}") for n in range(count)]
    known.handle_slice("ADDED", endpoint_slice("db", listed, ("sql", "TCP", 5432)), None)
    return known


def test_long_answers_are_cut_unless_the_client_takes_them() -> None:
    known = many_endpoints(60)
    query = DNSRecord.question(f"db.{SVC}")
    cut = DNSRecord.parse(fit(answer(query, known), query))
    assert (cut.header.tc, cut.rr) == (1, [])
    query.add_ar(EDNS0(udp_len=1400))
    whole = DNSRecord.parse(fit(answer(query, known), query))
    assert (whole.header.tc, len(whole.rr)) == (0, 60)
    assert [record.edns_len for record in whole.ar if record.rtype == QTYPE.OPT] == [4096]


def test_queries_that_make_no_sense_are_answered_or_left_alone(records: Records) -> None:
    server = DnsServer(lambda query: answer(query, records))
    wire = bytearray(DNSRecord.question(f"web.{SVC}").pack())
    random = Random(3)
    started = time.process_time()
    for _ in range(2000):
        broken = bytearray(wire)
        for _ in range(random.randint(1, 6)):
            broken[random.randrange(len(broken))] = random.randrange(256)
        server.respond(bytes(broken[: random.randint(0, len(broken))]), "udp")
        server.respond(random.randbytes(random.randrange(60)), "tcp")
    assert time.process_time() - started < 5
    assert server.respond(bytes(wire[:20]), "udp") is not None
    assert server.respond(b"\x00" * 5, "udp") is None
    reply = answer(DNSRecord.question(f"web.{SVC}"), records)
    assert server.respond(reply.pack(), "udp") is None


def test_other_operations_and_several_questions_are_refused(records: Records) -> None:
    update = DNSRecord.question(f"web.{SVC}")
    update.header.opcode = 5
    assert RCODE[answer(update, records).header.rcode] == "NOTIMP"
    two = DNSRecord.question(f"web.{SVC}")
    two.add_question(DNSQuestion(f"db.{SVC}"))
    assert RCODE[answer(two, records).header.rcode] == "FORMERR"
