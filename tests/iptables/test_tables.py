"""Tables in memory do what iptables-restore does, all of it or nothing."""

from __future__ import annotations

import pytest

from lab_helpers.errors import InvalidInput
from lab_helpers.iptables import Tables, parse


def lines(tables: Tables, table: str = "filter") -> list[str]:
    return [line for line in tables.save(table).splitlines() if line.startswith("-A")]


def test_a_restore_replaces_the_chains_it_names_and_no_others() -> None:
    tables = Tables()
    tables.restore("*filter\n:A - [0:0]\n:B - [0:0]\n-A A -j DROP\n-A B -j ACCEPT\n-A INPUT -j A\nCOMMIT\n")
    tables.restore("*filter\n:A - [0:0]\n-A A -s 10.0.0.1 -j REJECT\nCOMMIT\n")
    assert lines(tables) == [
        "-A INPUT -j A",
        "-A A -s 10.0.0.1/32 -j REJECT --reject-with icmp-port-unreachable",
        "-A B -j ACCEPT",
    ]


def test_rules_are_inserted_deleted_flushed_and_chains_made_and_removed() -> None:
    tables = Tables()
    tables.restore("*filter\n-N A\n-A A -j DROP\n-I A -j ACCEPT\n-I A 2 -p udp\nCOMMIT\n")
    assert lines(tables) == ["-A A -j ACCEPT", "-A A -p udp", "-A A -j DROP"]
    tables.restore("*filter\n-D A 2\n-D A -j DROP\nCOMMIT\n")
    assert lines(tables) == ["-A A -j ACCEPT"]
    tables.restore("*filter\n-F A\n-X A\nCOMMIT\n")
    assert ":A" not in tables.save()


@pytest.mark.parametrize(
    "wrong",
    [
        "-A A -j NOWHERE",
        "-A NOWHERE -j DROP",
        "-D A -j ACCEPT",
        "-D A 7",
        "-I A 9 -j DROP",
        "-X A",
        "-X INPUT",
        "-N A",
        "-Z A",
        "-A A -m mark --mark x",
        "-A A -s nowhere",
        "*filter",
    ],
)
def test_a_wrong_line_changes_nothing(wrong: str) -> None:
    tables = Tables()
    tables.restore("*filter\n:A - [0:0]\n-A A -j DROP\nCOMMIT\n")
    before = tables.save()
    with pytest.raises(InvalidInput):
        tables.restore(f"*filter\n-A A -p tcp -j ACCEPT\n{wrong}\nCOMMIT\n")
    assert tables.save() == before


def test_a_text_that_is_cut_off_changes_nothing() -> None:
    tables = Tables()
    with pytest.raises(InvalidInput, match="cut off"):
        tables.restore("*filter\n-A INPUT -j DROP\n")
    assert lines(tables) == []


def test_counters_are_shown_when_asked_for() -> None:
    tables = Tables()
    tables.restore("*filter\n[5:300] -A INPUT -j DROP\n-A INPUT -j ACCEPT\nCOMMIT\n")
    assert "[5:300] -A INPUT -j DROP" in tables.save(counters=True)
    assert "[0:0] -A INPUT -j ACCEPT" in tables.save(counters=True)
    assert "[5:300]" not in tables.save()


def test_what_is_saved_can_be_read_again() -> None:
    tables = Tables()
    tables.restore("*nat\n:A - [0:0]\n-A A -j MARK --or-mark 0x00004000\n-A PREROUTING -j A\nCOMMIT\n")
    assert parse(tables.save()) == tables.ruleset
    assert "-A A -j MARK --set-xmark 0x4000/0x4000" in tables.save("nat")
