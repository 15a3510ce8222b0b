"""Which endpoint gets which exact part of a Service's connections, as a list, as a tree and in words."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from lab_helpers.errors import InvalidInput
from lab_helpers.iptables import Ruleset, Share, distribution, explain, parse, service_port_names
from lab_helpers.iptables.probability import as_kernel_prints, exact

DATA = Path(__file__).parent / "data"


def dump(name: str) -> Ruleset:
    return parse(DATA.joinpath(f"{name}.iptables-save.txt").read_text())


def test_three_pods_get_a_third_each() -> None:
    assert distribution(dump("02-demo-3pods"), "default", "demo-service") == [
        Share("10.244.0.3:80", Fraction(1, 3), "KUBE-SEP-BHEO3KJQIPUZE2JQ"),
        Share("10.244.0.4:80", Fraction(1, 3), "KUBE-SEP-GWLR5Z3RRQZPXCZ2"),
        Share("10.244.0.5:80", Fraction(1, 3), "KUBE-SEP-K565I4HPMOS75SZK"),
    ]


def test_one_pod_gets_everything_and_no_pod_nothing() -> None:
    (share,) = distribution(dump("01-demo-1pod"), "default", "demo-service")
    assert (share.endpoint, share.probability) == ("10.244.0.3:80", 1)
    assert distribution(dump("04-demo-0pods"), "default", "demo-service") == []
    assert distribution(dump("01-demo-1pod"), "default", "nobody") == []


def test_a_port_is_found_by_name_and_has_to_be_named_among_several() -> None:
    rules = dump("01-demo-1pod")
    assert distribution(rules, "kube-system", "kube-dns", "dns")[0].endpoint == "10.244.0.2:53"
    assert distribution(rules, "default", "kubernetes") == distribution(rules, "default", "kubernetes", "https")
    with pytest.raises(InvalidInput, match="several ports: dns, dns-tcp"):
        distribution(rules, "kube-system", "kube-dns")


def test_the_services_with_rules_can_be_listed() -> None:
    assert service_port_names(dump("04-demo-0pods")) == [
        "default/demo-service",
        "default/kubernetes:https",
        "kube-system/kube-dns:dns",
        "kube-system/kube-dns:dns-tcp",
    ]


def test_the_tree_says_the_shares_in_words() -> None:
    lines = explain(dump("02-demo-3pods"), "default", "demo-service").text().splitlines()
    svc = [line.strip() for line in lines if line.strip().startswith("KUBE-SVC-") and "KUBE-SEP-" in line]
    assert [line.partition("(")[2].partition(")")[0] for line in svc] == [
        "1/3",
        "1/2 of the rest, 1/3 of all",
        "all the rest, 1/3 of all",
    ]
    assert "DNAT to 10.244.0.3:80" in "\n".join(lines)
    assert any("KUBE-MARK-MASQ (only some packets)" in line for line in lines)


def test_every_way_in_is_explained() -> None:
    entries = explain(dump("05-nodeport"), "default", "demo-nodeport").entries
    assert [entry.chain for entry in entries] == ["KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-NODEPORTS"]
    for entry in entries:
        shares = [branch.share for branch in entry.walk() if branch.endpoint]
        assert shares == [Fraction(1, 3)] * 3


def test_a_service_without_endpoints_is_turned_away() -> None:
    (entry,) = explain(dump("04-demo-0pods"), "default", "demo-service").entries
    assert entry.leads_to == "REJECT"
    assert "no rule mentions it" in explain(dump("04-demo-0pods"), "default", "nobody").text()


def test_rules_that_lead_in_a_circle_end_in_an_error() -> None:
    text = (
        "*nat\n:KUBE-SERVICES - [0:0]\n:A - [0:0]\n"
        '-A KUBE-SERVICES -m comment --comment "ns/svc cluster IP" -j A\n-A A -j A\nCOMMIT\n'
    )
    with pytest.raises(InvalidInput, match="back to itself"):
        distribution(parse(text), "ns", "svc")


def test_rules_that_branch_without_end_are_given_up() -> None:
    chains = "".join(f":C{n} - [0:0]\n" for n in range(31))
    jumps = "".join(f"-A C{n} -j C{n + 1}\n" * 3 for n in range(30))
    text = f'*nat\n:KUBE-SERVICES - [0:0]\n{chains}-A KUBE-SERVICES -m comment --comment "ns/svc cluster IP" -j C0\n'
    with pytest.raises(InvalidInput, match="can't be shown"):
        distribution(parse(text + jumps + "COMMIT\n"), "ns", "svc")


@pytest.mark.parametrize("count", [*range(1, 60), 100, 333, 1000, 5000])
def test_the_kernel_s_rounding_is_undone(count: int) -> None:
    written = as_kernel_prints(f"{1 / count:.10f}")
    assert exact(written) == Fraction(1, count)


def test_probabilities_as_the_kernel_prints_them() -> None:
    assert as_kernel_prints("0.3333333333") == "0.33333333349"
    assert as_kernel_prints("0.5000000000") == "0.50000000000"
    for wrong in ("2", "-1", "x", "1/0", "9" * 5000):
        with pytest.raises(InvalidInput):
            exact(wrong)
