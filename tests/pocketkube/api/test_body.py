"""Bodies as they arrive: JSON and YAML read with upstream's words for what is wrong."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab_helpers.pocketkube.api.body import parse_json, parse_yaml

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_any_json_is_read(value):
    assert parse_json(json.dumps(value).encode()) == (value, [])
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == (value, [])


def test_duplicate_keys_are_found_with_their_paths_and_the_last_counts():
    value, duplicates = parse_json(b'{"spec":{"ports":[{"port":80,"port":81},{"x":1}],"a":1,"a":2}}')
    assert value == {"spec": {"ports": [{"port": 81}, {"x": 1}], "a": 2}}
    assert duplicates == ["spec.ports[0].port", "spec.a"]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b'{"apiVersion":', "unexpected end of JSON input"),
        (b"", "unexpected end of JSON input"),
        (b"hello", "invalid character 'h' looking for beginning of value"),
        (b'{"a":1 "b":2}', "invalid character '\"' after object key:value pair"),
        (b'{"a":1}x', "invalid character 'x' after top-level value"),
        (b"{'a':1}", r"invalid character '\'' looking for beginning of object key string"),
        (b'{"a":NaN}', "invalid character 'N' looking for beginning of value"),
        (b"[" * 100_000, "exceeded max depth"),
        (b"[" * 300 + b"]" * 300, "exceeded max depth"),
    ],
)
def test_what_is_not_json_is_refused_in_the_words_of_upstream(body, sentence):
    with pytest.raises(ValueError) as error:
        parse_json(body)
    assert str(error.value) == sentence


def test_half_a_surrogate_pair_can_be_written_again():
    value, _ = parse_json(b'{"a": "\\ud800x", "b": "\\ud83d\\ude00"}')
    assert value == {"a": "\ufffdx", "b": "\U0001f600"}


@pytest.mark.parametrize("body", [b'{"a": 1e999}', b'{"a": -Infinity}'])
def test_numbers_that_json_can_not_hold_are_refused(body):
    with pytest.raises(ValueError):
        parse_json(body)


def test_yaml_is_read_as_json_would_be():
    value, duplicates = parse_yaml(b"a: 2020-01-01\nb: yes\n1: x\nc: {d: [1, 1.5]}\nb: no\n")
    assert value == {"a": "2020-01-01", "b": False, "1": "x", "c": {"d": [1, 1.5]}}
    assert duplicates == ['line 5: key "b" already set in map']


def test_json_is_yaml_too():
    assert parse_yaml(b' {"a": 1, "a": 2}') == ({"a": 2}, ["a"])
    assert parse_yaml(b"{a: 1}") == ({"a": 1}, [])


def _bomb() -> bytes:
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    "body",
    [b"a: [", b"? [a]\n: 1", b"!!set {a}", b"!!python/object:os.system x", b"a: .inf", b"&a [*a]", b"- : x", _bomb()],
)
def test_what_json_can_not_hold_is_refused(body):
    with pytest.raises(ValueError):
        parse_yaml(body)
