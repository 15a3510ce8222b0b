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
    assert duplicates == ['duplicate field "spec.ports[0].port"', 'duplicate field "spec.a"']


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
        (b"\xff\xfe{}", "invalid character 'ÿ' looking for beginning of value"),
        (b"\xef\xbb\xbf{}", "invalid character 'ï' looking for beginning of value"),
        (b'{"\xff": x}', "invalid character 'x' looking for beginning of value"),
        (b"\x01", r"invalid character '\x01' looking for beginning of value"),
        (b'{"a":"\\x"}', "invalid character 'x' in string escape code"),
        (b'{"a":"\\u12g4"}', r"invalid character 'g' in \u hexadecimal character escape"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b'{"a": trux}', "invalid character 'x' in literal true (expecting 'e')"),
        (b'{"a": tru', "unexpected end of JSON input"),
        (b"[-x]", "invalid character 'x' in numeric literal"),
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
    assert duplicates == ['yaml: unmarshal errors:\n  line 5: key "b" already set in map']


def test_json_is_yaml_too():
    twice = 'yaml: unmarshal errors:\n  line 1: key "a" already set in map'
    assert parse_yaml(b' {"a": 1, "a": 2}') == ({"a": 2}, [twice])
    assert parse_yaml(b"{a: 1}") == ({"a": 1}, [])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("y", True), ("Off", False), ("~", None), ("", None), ("'on'", "on"), ("10:30", "10:30"), ("1e3", 1000),
        ("3.0", 3), (".5", 0.5), ("0x1F", 31), ("0o17", 15), ("017", 15), ("0b11", 3), ("1_000", 1000), ("08", 8),
        ("2020-01-01", "2020-01-01"), ("!!str 5", "5"), ("!!binary aGk=", "hi"), ("!!int 5", 5), ("!other x", "x"),
        ("!!set {a}", {"a": None}), ("!!python/object:os.system x", "x"), ("+1", 1), ("1.2.3", "1.2.3"),
        ("{1: a, true: b, 1.5: c}", {"1": "a", "true": "b", "1.5": "c"}),
        ("{<<: {a: 1, b: 2}, b: 3}", {"a": 1, "b": 3}), ("[&x {a: 1}, *x]", [{"a": 1}, {"a": 1}]),
        ("a: 1\n---\nb: 2", {"a": 1}),
    ],
)  # fmt: skip
def test_yaml_values_are_those_of_the_go_library(text, value):
    assert parse_yaml(text.encode())[0] == value


def test_deep_yaml_is_refused_before_it_costs_anything():
    for body in (b"[" * 3_000_000, b"- " * 1_000_000, b"? " * 1_000_000, b"{a: " * 500_000):
        with pytest.raises(ValueError, match="exceeded max depth"):
            parse_yaml(body)


def _bomb() -> bytes:
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    return "\n".join(lines).encode()


@pytest.mark.parametrize(
    "body",
    [b"a: [", b"? [a]\n: 1", b"a: .inf", b"&a [*a]", b"- : x", b"a: *nothing", b"!!int x", b"<<: 1", _bomb()],
)
def test_what_json_can_not_hold_is_refused(body):
    with pytest.raises(ValueError):
        parse_yaml(body)
