"""Label and field selectors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab_helpers.pocketkube.api.selectors import (
    compile_label_selector,
    parse_field_selector,
    parse_label_selector,
)
from lab_helpers.pocketkube.api.status import StatusError

keys = st.sampled_from(["app", "tier", "example.com/zone", "x"])
values = st.sampled_from(["", "a", "b", "web-1", "C_2"])
labels = st.dictionaries(keys, values)


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app!=web", False),
        ("app", True),
        ("!app", False),
        ("!tier", True),
        ("tier!=x", True),
        ("app in (web,db)", True),
        ("app notin (web, db)", False),
        ("tier notin (x)", True),
        ("app in (web),tier", False),
        (" app = web , size > 3 ", True),
        ("size<5", False),
        ("app in ()", False),
        ("empty=", True),
        ("empty in (,)", True),
    ],
)
def test_selectors_choose_by_labels(text: str, selected: bool) -> None:
    labels = {"app": "web", "size": "5", "empty": ""}
    assert parse_label_selector(text).matches(labels) is selected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a=b,", "found '', expected: identifier after ','"),
        ("=b", "found '=', expected: !, identifier, or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a=(", "unable to parse requirement: found '(', expected: identifier"),
    ],
)
def test_what_is_no_selector_is_explained(text: str, problem: str) -> None:
    with pytest.raises(StatusError) as caught:
        parse_label_selector(text)
    assert caught.value.code == 400
    assert caught.value.message == problem


@given(labels=labels, key=keys, chosen=st.sets(values, min_size=1))
def test_in_and_notin_are_opposites(labels: dict[str, str], key: str, chosen: set[str]) -> None:
    listed = ",".join(sorted(chosen))
    inside = parse_label_selector(f"{key} in ({listed})").matches(labels)
    assert inside is (labels.get(key) in chosen)
    assert parse_label_selector(f"{key} notin ({listed})").matches(labels) is not inside


@given(labels=labels, wanted=labels)
def test_text_and_object_select_the_same(labels: dict[str, str], wanted: dict[str, str]) -> None:
    text = ",".join(f"{key}={value}" for key, value in wanted.items())
    expressions = [{"key": key, "operator": "In", "values": [value]} for key, value in wanted.items()]
    expected = all(labels.get(key) == value for key, value in wanted.items())
    assert parse_label_selector(text).matches(labels) is expected
    assert compile_label_selector({"matchLabels": wanted}).matches(labels) is expected
    assert compile_label_selector({"matchExpressions": expressions}).matches(labels) is expected


@given(text=st.text(alphabet="ab=!,() \t<>in/.", max_size=20))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        parse_label_selector(text).matches({"a": "b"})
    except StatusError as error:
        assert error.code == 400


def test_field_selectors_split_at_unescaped_commas() -> None:
    terms = parse_field_selector(r"metadata.name=a\,b,status.phase!=Running,spec.nodeName==n")
    assert [(term.field, term.value, term.negated) for term in terms] == [
        ("metadata.name", "a,b", False),
        ("status.phase", "Running", True),
        ("spec.nodeName", "n", False),
    ]


def test_a_term_without_operator_is_refused() -> None:
    with pytest.raises(StatusError, match="can't understand 'spec.nodeName'"):
        parse_field_selector("spec.nodeName")
