"""Reading and writing iptables-save: real dumps byte for byte, any rule there and back, hostile text in time."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab_helpers.errors import InvalidInput
from lab_helpers.iptables import (
    Chain,
    Condition,
    Counters,
    Match,
    Option,
    Rule,
    Ruleset,
    Table,
    Target,
    parse,
    render,
)

DUMPS = sorted(Path(__file__).parent.joinpath("data").glob("*save.txt"))

FILTER = "*filter\n:INPUT ACCEPT [0:0]\n{}\nCOMMIT\n"


def only_rule(line: str) -> Rule:
    return parse(FILTER.format(line)).rules("filter", "INPUT")[0]


@pytest.mark.parametrize("dump", DUMPS, ids=lambda path: path.name)
def test_a_real_dump_comes_back_byte_for_byte(dump: Path) -> None:
    text = dump.read_text()
    assert render(parse(text)) == text


def test_a_real_dump_is_understood() -> None:
    ruleset = parse(DUMPS[-1].read_text())
    first, *_, last = ruleset.rules("nat", "KUBE-SERVICES")
    assert first.destination == Condition("10.96.0.10/32")
    assert first.protocol == Condition("udp")
    assert first.comment == "kube-system/kube-dns:dns cluster IP"
    assert first.match("udp") == Match("udp", (Option("--dport", ("53",)),))
    assert first.jump == "KUBE-SVC-TCOU7JCQXEZGVUNU"
    assert last.jump == "KUBE-NODEPORTS"
    assert ruleset.chain("filter", "INPUT").policy == "ACCEPT"
    assert not ruleset.chain("filter", "KUBE-FORWARD").built_in


def test_counters_are_kept_and_do_not_make_rules_differ() -> None:
    text = "*filter\n:INPUT DROP [3:180]\n[7:420] -A INPUT -p tcp -j ACCEPT\nCOMMIT\n"
    ruleset = parse(text)
    rule = ruleset.rules("filter", "INPUT")[0]
    assert rule.counters == Counters(7, 420)
    assert rule == only_rule("-A INPUT -p tcp -j ACCEPT")
    assert render(ruleset) == text
    assert render(ruleset, counters=False) == text.replace("[7:420] ", "")


def test_the_order_in_which_kube_proxy_writes_is_understood_too() -> None:
    line = '-A INPUT -m comment --comment "a b" -m tcp -p tcp -d 10.96.0.20 --dport 80 ! -s 10.244.0.0/16 -j DROP'
    rule = only_rule(line)
    assert rule.source == Condition("10.244.0.0/16", negated=True)
    assert rule.match("tcp").value("--dport") == "80"
    assert rule.target == Target("DROP")


def test_an_option_goes_to_the_match_it_belongs_to() -> None:
    rule = only_rule("-A INPUT -p tcp -m tcp -m comment --comment x --dport 80 --syn -j ACCEPT")
    assert [match.name for match in rule.matches] == ["tcp", "comment"]
    assert rule.match("tcp").value("--dport") == "80"
    assert only_rule("-A INPUT -p udp --dport 53 -j ACCEPT").match("udp").value("--dport") == "53"


def test_what_is_unknown_is_kept_by_name() -> None:
    rule = only_rule('-A INPUT -m bogus --first a b ! --second "c d" -m other -j NEWTARGET --flag --value x')
    assert rule.match("bogus").options == (Option("--first", ("a", "b")), Option("--second", ("c d",), negated=True))
    assert rule.target == Target("NEWTARGET", (Option("--flag"), Option("--value", ("x",))))


@pytest.mark.parametrize(
    "comment",
    ['name: "net" id: "7"', "it's", "back\\slash", "-dash", "!", "", "a  b", "ns/svc:port -> 10.0.0.1:80", "--comment"],
)
def test_any_comment_survives(comment: str) -> None:
    rule = Rule(matches=(Match("comment", (Option("--comment", (comment,)),)),), target=Target("ACCEPT"))
    ruleset = Ruleset({"filter": Table("filter", {"INPUT": Chain("INPUT", "ACCEPT", rules=(rule,))})})
    assert parse(render(ruleset)) == ruleset


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("-A INPUT -j ACCEPT", "outside of a table"),
        ("*filter\n:INPUT ACCEPT [0:0]\n", "cut off"),
        ("*filter\n:INPUT ACCEPT [0:0]\n*nat\n", "no COMMIT"),
        ("*filter\n:INPUT ACCEPT [x:0]\nCOMMIT", "a chain is written"),
        (FILTER.format("-A NOWHERE -j ACCEPT"), "chain NOWHERE is not declared"),
        (FILTER.format("-D INPUT 1"), "begins with `-A CHAIN`"),
        (FILTER.format('-A INPUT -m comment --comment "open'), "quote is not closed"),
        (FILTER.format("-A INPUT -s"), "value of -s is missing"),
        (FILTER.format("-A INPUT --dport 80"), "belongs to no match"),
        (FILTER.format("-A INPUT -j DROP -j ACCEPT"), "one target only"),
        (FILTER.format("-A INPUT -s 1.1.1.1 -s 2.2.2.2"), "given twice"),
        (FILTER.format("-A INPUT rubbish"), "is not an option"),
        (FILTER.format("-A INPUT -c 1"), "a number is missing"),
        ("*filter\n:INPUT ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\nCOMMIT", "declared twice"),
        ("*filter\nCOMMIT\n*filter\nCOMMIT", "only once"),
        ("Unable to connect to the server: dial tcp 127.0.0.1:8443", "outside of a table"),
    ],
)
def test_wrong_text_ends_in_one_clear_sentence(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match="(?s)" + said.replace("(", r"\(")) as raised:
        parse(text)
    assert raised.value.hint


def test_an_error_names_the_line_and_shows_only_so_much_of_it() -> None:
    with pytest.raises(InvalidInput, match="Line 3 ") as raised:
        parse(FILTER.format("-A INPUT " + "x" * 60_000))
    assert len(raised.value.message) < 500


@pytest.mark.parametrize(
    "line",
    ["-A INPUT " + '"' * 60_000, "-A INPUT -m comment --comment " + '"\\' * 30_000, "-A INPUT" + " !" * 30_000]
    + ["-A INPUT" + " -m x" * 12_000, "[" + "9" * 60_000 + ":1] -A INPUT", "x" * 100_000],
)
def test_hostile_lines_take_no_longer_than_reading_them(line: str) -> None:
    started = time.process_time()
    with contextlib.suppress(InvalidInput):
        parse(FILTER.format(line))
    assert time.process_time() - started < 1


words = st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S")), min_size=1, max_size=12)
values = words.filter(lambda text: not text.startswith(("-", '"')) and text != "!")
strings = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")) | st.just(" "), max_size=40)
conditions = st.none() | st.builds(Condition, values, st.booleans())
names = st.from_regex(r"[a-zA-Z][a-zA-Z0-9-]{0,20}", fullmatch=True)
own_options = st.builds(
    Option, names.map(lambda name: f"--x-{name}"), st.lists(values, max_size=2).map(tuple), st.booleans()
)
matches = st.builds(Match, names.map(lambda name: f"x{name}"), st.lists(own_options, max_size=3).map(tuple))
comments = strings.map(lambda text: Match("comment", (Option("--comment", (text,)),)))
targets = st.builds(Target, names, st.lists(own_options, max_size=2).map(tuple), st.booleans())
rules = st.builds(
    Rule,
    source=conditions,
    destination=conditions,
    in_interface=conditions,
    out_interface=conditions,
    protocol=conditions,
    matches=st.lists(matches | comments, max_size=3).map(tuple),
    target=st.none() | targets,
    counters=st.none() | st.builds(Counters, st.integers(0, 10**15), st.integers(0, 10**15)),
)


@given(st.dictionaries(names, st.lists(rules, max_size=3), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_every_ruleset_survives_being_written_and_read(chains: dict[str, list[Rule]]) -> None:
    table = Table("filter", {name: Chain(name, "", rules=tuple(listed)) for name, listed in chains.items()})
    ruleset = Ruleset({"filter": table})
    text = render(ruleset)
    assert parse(text) == ruleset
    assert render(parse(text)) == text


@given(st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_text_of_any_kind_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidInput):
        parse("*filter\n:INPUT ACCEPT [0:0]\n" + text + "\nCOMMIT\n")
