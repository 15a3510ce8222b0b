"""Following packets: verdicts, new destinations and sources, the rules met, exact probabilities."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import pytest

from lab_helpers.errors import InvalidInput
from lab_helpers.iptables import Evaluator, Host, Outcome, Packet, Route, Ruleset, parse, trace

DATA = Path(__file__).parent / "data"
NODE = Host(("192.168.49.2",), (Route("10.244.0.0/24", "veth0", "192.168.49.2"), Route("0.0.0.0/0", "eth0")))


def dump(name: str) -> Ruleset:
    return parse(DATA.joinpath(f"{name}.iptables-save.txt").read_text())


def table(*lines: str, name: str = "filter") -> Ruleset:
    names = dict.fromkeys(word for line in lines for word in line.split() if word.startswith("CHAIN"))
    head = "".join(f":{chain} - [0:0]\n" for chain in names)
    built_in = ":INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
    if name == "nat":
        built_in += ":PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n"
    return parse(f"*{name}\n{built_in}{head}" + "".join(f"{line}\n" for line in lines) + "COMMIT\n")


def only(packet: Packet, ruleset: Ruleset, host: Host = NODE) -> Outcome:
    (outcome,) = trace(packet, ruleset, host).outcomes
    return outcome


def verdict(line: str, packet: Packet, host: Host = NODE) -> str:
    return only(packet, table(line + " -j DROP"), host).verdict


FAR = "1.1.1.1"


def sent(to: str = FAR, dport: int = 0, **changes: Any) -> Packet:
    """A packet of the node itself."""
    return Packet("192.168.49.2", to, dport, **changes)


FROM_POD = Packet("10.244.0.9", "10.96.153.200", 80, in_interface="veth9")


def test_a_pod_reaches_each_endpoint_with_a_third() -> None:
    found = trace(FROM_POD, dump("02-demo-3pods"), NODE)
    assert found.destinations() == {f"10.244.0.{n}:80": Fraction(1, 3) for n in (3, 4, 5)}
    assert found.verdicts() == {"ACCEPT": 1}
    assert {outcome.snat for outcome in found.outcomes} == {""}
    assert found.unknown == ()


def test_a_pod_that_reaches_itself_is_masqueraded() -> None:
    packet = Packet("10.244.0.3", "10.96.153.200", 80, in_interface="veth3")
    assert only(packet, dump("01-demo-1pod")).snat == "192.168.49.2"


def test_the_node_is_masqueraded_and_the_mark_taken_off_again() -> None:
    outcome = only(Packet("192.168.49.2", "10.96.153.200", 80), dump("01-demo-1pod"))
    assert (outcome.dnat, outcome.snat, outcome.packet.mark) == ("10.244.0.3:80", "192.168.49.2", 0)
    assert outcome.out_interface == "veth0"
    chains = [step.chain for step in outcome.steps if step.table == "nat"]
    assert chains[0] == "OUTPUT" and "KUBE-MARK-MASQ" in chains and chains[-1] == "KUBE-POSTROUTING"
    assert "sent on to 10.244.0.3:80, with the source address 192.168.49.2" in outcome.words


def test_a_service_without_endpoints_rejects() -> None:
    outcome = only(FROM_POD, dump("04-demo-0pods"))
    assert outcome.verdict == "REJECT"
    last = outcome.steps[-1]
    assert (last.table, last.chain, last.number) == ("filter", "KUBE-SERVICES", 1)
    assert only(Packet("192.168.49.2", "10.96.153.200", 80), dump("04-demo-0pods")).verdict == "REJECT"


def test_a_node_port_answers_outside_clients() -> None:
    found = trace(Packet("192.168.49.1", "192.168.49.2", 30080, in_interface="eth0"), dump("05-nodeport"), NODE)
    assert found.destinations() == {f"10.244.0.{n}:80": Fraction(1, 3) for n in (13, 14, 15)}
    assert {outcome.snat for outcome in found.outcomes} == {"192.168.49.2"}


def test_nat_sees_the_first_packet_only() -> None:
    later = Packet("10.244.0.9", "10.96.153.200", 80, in_interface="veth9", state="ESTABLISHED")
    assert only(later, dump("02-demo-3pods")).dnat == ""


def test_packets_for_127_from_elsewhere_are_dropped() -> None:
    stranger = Packet("192.168.49.1", "127.0.0.1", 80, in_interface="eth0")
    assert only(stranger, dump("01-demo-1pod")).verdict == "DROP"


def test_chance_can_be_left_to_a_random() -> None:
    evaluator, random = Evaluator(dump("02-demo-3pods")), Random(7)
    seen = Counter(evaluator.trace(FROM_POD, NODE, random=random).outcomes[0].dnat for _ in range(3000))
    assert len(seen) == 3
    assert all(900 < count < 1100 for count in seen.values())


@pytest.mark.parametrize(
    ("line", "matches", "passes"),
    [
        ("-A FORWARD -s 10.0.0.0/8", Packet("10.1.1.1", FAR, in_interface="a"), Packet("11.1.1.1", FAR)),
        ("-A OUTPUT ! -d 10.0.0.0/8", sent(), sent("10.1.1.1")),
        ("-A OUTPUT -p udp", sent(FAR, protocol="udp"), sent()),
        (
            "-A FORWARD -i veth+",
            Packet("10.0.0.1", FAR, in_interface="veth7"),
            Packet(FAR, "2.2.2.2", in_interface="eth0"),
        ),
        ("-A OUTPUT -o eth0", sent(), sent("10.244.0.1")),
        ("-A OUTPUT -p tcp -m tcp --dport 80:90", sent(FAR, 85), sent(FAR, 91)),
        ("-A OUTPUT -p tcp -m tcp ! --sport 7", sent(FAR, 1), sent(FAR, 1, sport=7)),
        ("-A OUTPUT -p tcp --syn", sent(), sent(FAR, state="ESTABLISHED")),
        ("-A OUTPUT -p tcp -m multiport --dports 1,5:7", sent(FAR, 6), sent(FAR, 8)),
        ("-A OUTPUT -m conntrack --ctstate NEW", sent(), sent(FAR, state="RELATED")),
        ("-A OUTPUT -m mark --mark 0x4000/0x4000", sent(FAR, mark=0x4001), sent(FAR, mark=1)),
        ("-A OUTPUT -m addrtype --dst-type LOCAL", sent("127.0.0.9"), sent()),
        ("-A OUTPUT -m addrtype ! --dst-type LOCAL", sent(), sent("192.168.49.2")),
        ("-A OUTPUT -m addrtype --dst-type MULTICAST", sent("224.0.0.1"), sent()),
    ],
)
def test_each_match(line: str, matches: Packet, passes: Packet) -> None:
    assert verdict(line, matches) == "DROP"
    assert verdict(line, passes) == "ACCEPT"


def test_a_remembered_client_stays_with_its_endpoint() -> None:
    line = "-A OUTPUT -m recent --name list --rcheck --seconds 100 --reap"
    packet = Packet("192.168.49.2", "1.1.1.1")
    for age, wanted in ((50.0, "DROP"), (150.0, "ACCEPT")):
        host = Host(("192.168.49.2",), recent={"list": {"192.168.49.2": age}})
        assert verdict(line, packet, host) == wanted
    setting = only(packet, table("-A OUTPUT -m recent --name list --set -j ACCEPT"))
    assert setting.remembered == (("list", "192.168.49.2"),)


def test_return_goes_back_and_the_policy_decides_at_the_end() -> None:
    rules = table("-A OUTPUT -j CHAIN1", "-A OUTPUT -j DROP", "-A CHAIN1 -p tcp -j RETURN", "-A CHAIN1 -j ACCEPT")
    assert only(Packet("192.168.49.2", "1.1.1.1"), rules).verdict == "DROP"
    assert only(Packet("192.168.49.2", "1.1.1.1", protocol="udp"), rules).verdict == "ACCEPT"
    closed = parse("*filter\n:OUTPUT DROP [0:0]\nCOMMIT\n")
    assert only(Packet("192.168.49.2", "1.1.1.1"), closed).verdict == "DROP"


def test_goto_does_not_come_back() -> None:
    rules = table(
        "-A OUTPUT -j CHAIN1", "-A OUTPUT -j DROP", "-A CHAIN1 -g CHAIN2", "-A CHAIN1 -j REJECT", "-A CHAIN2 -p udp"
    )
    assert [step.chain for step in only(Packet("192.168.49.2", "1.1.1.1"), rules).steps] == [
        "OUTPUT",
        "CHAIN1",
        "OUTPUT",
    ]


def test_marks_are_set_as_the_kernel_sets_them() -> None:
    for option, before, after in (
        ("--set-xmark 0x4000/0x4000", 1, 0x4001),
        ("--set-xmark 0x4000/0x0", 0x4001, 1),
        ("--set-mark 0x2/0xf", 0xF1, 0xF2),
        ("--and-mark 0xf0", 0xFF, 0xF0),
    ):
        packet = Packet("192.168.49.2", "1.1.1.1", mark=before)
        assert only(packet, table(f"-A OUTPUT -j MARK {option}")).packet.mark == after


def test_addresses_are_changed_as_told() -> None:
    rules = table(
        "-A OUTPUT -p tcp -j DNAT --to-destination 10.0.0.7",
        "-A POSTROUTING -j SNAT --to-source 10.0.0.8:99",
        name="nat",
    )
    outcome = only(Packet("192.168.49.2", "1.1.1.1", 80), rules)
    assert (outcome.packet.destination, outcome.packet.dport) == ("10.0.0.7", 80)
    assert (outcome.packet.source, outcome.packet.sport) == ("10.0.0.8", 99)
    redirect = table("-A PREROUTING -p tcp -j REDIRECT --to-ports 8080", name="nat")
    sent = only(Packet("1.1.1.1", "2.2.2.2", 80, in_interface="eth0"), redirect)
    assert sent.dnat == "192.168.49.2:8080"


def test_chains_that_lead_in_a_circle_end_in_an_error() -> None:
    for lines in (
        ["-A OUTPUT -j CHAIN1", "-A CHAIN1 -j CHAIN1"],
        ["-A OUTPUT -g CHAIN1", "-A CHAIN1 -g CHAIN2", "-A CHAIN2 -g CHAIN1"],
    ):
        with pytest.raises(InvalidInput, match="back to itself"):
            only(Packet("192.168.49.2", "1.1.1.1"), table(*lines))


def test_too_many_ways_end_in_an_error() -> None:
    rules = table(*["-A OUTPUT -m statistic --mode random --probability 0.5 -j MARK --set-mark 1"] * 40)
    with pytest.raises(InvalidInput, match="ways to go"):
        only(Packet("192.168.49.2", "1.1.1.1"), rules)


def test_unknown_extensions_are_passed_over_and_named() -> None:
    rules = table(
        "-A OUTPUT -m bogus --x 1 -j DROP",
        "-A OUTPUT -m conntrack --ctdir REPLY -j DROP",
        "-A OUTPUT -j ODD",
        "-A OUTPUT -j REJECT",
    )
    found = trace(Packet("192.168.49.2", "1.1.1.1"), rules, NODE)
    assert found.verdicts() == {"REJECT": 1}
    assert found.unknown == ("bogus", "conntrack --ctdir", "ODD")


def test_a_wrong_address_is_said_so() -> None:
    with pytest.raises(InvalidInput, match="not an IP address"):
        only(Packet("192.168.49.2", "nowhere"), table())


def test_a_thousand_endpoints_are_followed_quickly() -> None:
    count = 1000
    lines = [
        f"-A OUTPUT -m statistic --mode random --probability {1 / (count - n):.10f}"
        f" -j DNAT --to-destination 10.244.{n // 250}.{n % 250}:80"
        for n in range(count)
    ]
    found = trace(Packet("192.168.49.2", "10.96.0.1", 80), table(*lines, name="nat"), NODE)
    assert set(found.destinations().values()) == {Fraction(1, count)}
