"""`iptables -L` as people know it."""

from __future__ import annotations

from lab_helpers.iptables import Evaluator, Host, Packet, Tables
from lab_helpers.iptables.listing import listing

RULES = """\
*nat
:KUBE-SERVICES - [0:0]
:KUBE-SVC-A - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
[3:180] -A KUBE-SERVICES -d 10.96.0.20/32 -p tcp -m comment --comment "default/web cluster IP" -m tcp --dport 80 -j KUBE-SVC-A
-A KUBE-SVC-A ! -s 10.244.0.0/16 -d 10.96.0.20/32 -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x4000/0x4000
-A KUBE-SVC-A -p tcp -m statistic --mode random --probability 0.50000000000 -j DNAT --to-destination 10.244.0.5:80
COMMIT
"""  # noqa: E501


def test_a_chain_is_a_table_for_people() -> None:
    tables = Tables()
    tables.restore(RULES)
    assert listing(tables.ruleset.tables["nat"], "KUBE-SVC-A") == (
        "Chain KUBE-SVC-A (1 references)\n"
        "target     prot opt source               destination\n"
        "MARK      tcp  -- !10.244.0.0/16        10.96.0.20           tcp dpt:80 MARK or 0x4000\n"
        "DNAT      tcp  --  0.0.0.0/0            0.0.0.0/0            statistic mode random probability 0.50000000000 "
        "to:10.244.0.5:80\n"
    )


def test_counters_and_numbers_are_shown_when_asked_for() -> None:
    tables = Tables()
    tables.restore(RULES)
    shown = listing(tables.ruleset.tables["nat"], "KUBE-SERVICES", counters=True, numbers=True).splitlines()
    assert shown[1].startswith("num   pkts bytes target")
    assert shown[2].startswith("1        3   180 KUBE-SVC-A tcp  -- *      *       0.0.0.0/0            10.96.0.20")


def test_what_is_not_there_is_empty() -> None:
    assert listing(Tables().ruleset.tables["nat"], "KUBE-SVC-A") == ""


def test_packets_are_counted_on_the_rules_that_they_met() -> None:
    tables = Tables()
    tables.restore(RULES)
    (outcome, _) = (
        Evaluator(tables.ruleset).trace(Packet("10.244.0.7", "10.96.0.20", 80, in_interface="v"), Host(())).outcomes
    )
    tables.count(outcome.steps, 60)
    assert "[4:240] -A KUBE-SERVICES -d 10.96.0.20/32" in tables.save("nat", counters=True)
