"""Label and field selectors, from their text to a predicate on an object, and back to text.

Which fields of a kind can be selected is left to its strategy.
Models apimachinery pkg/labels/selector.go and pkg/fields/selector.go (v1.36).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..objects import Obj
from ..resources.naming import label_key_problems, label_value_problems
from .status import StatusError, invalid_value

_TOKEN = re.compile(r"\s*(?:(?P<symbol>!=|==|[=!(),<>])|(?P<word>[^\s=!(),<>]+))")
_OPERATORS = ("in", "notin", "=", "==", "!=", "gt", "lt")
_SYMBOL_OPERATORS = {"=": "In", "==": "In", "!=": "NotIn", ">": "Gt", "<": "Lt"}
_END = ""
_WORDS = {"In": "in", "NotIn": "notin"}


@dataclass(frozen=True)
class Requirement:
    """One condition on one label."""

    key: str
    operator: str
    """`In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt`, `Lt`."""
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """True if the labels meet the condition. A label that is absent meets NotIn."""
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value is not None and value in self.values
            case "NotIn":
                return value is None or value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
        if value is None or not re.fullmatch(r"[+-]?\d+", value):
            return False
        bound = int(self.values[0])
        return int(value) > bound if self.operator == "Gt" else int(value) < bound


@dataclass(frozen=True)
class LabelSelector:
    """All of its requirements must be met; none of them means everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """True if the labels are selected."""
        return all(requirement.matches(labels) for requirement in self.requirements)


def parse_label_selector(text: str) -> LabelSelector:
    """Reads `a=b,c!=d,e in (f,g),!h`. StatusError 400 says what was found instead."""
    try:
        return LabelSelector(tuple(_Parser(text).requirements()))
    except ValueError as error:
        raise StatusError.bad_request(str(error)) from None


def compile_label_selector(selector: Obj | None) -> LabelSelector:
    """A metav1.LabelSelector (`matchLabels`, `matchExpressions`) as a predicate."""
    selector = selector or {}
    requirements = [Requirement(key, "In", (value,)) for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or []:
        values = tuple(expression.get("values") or ())
        requirements.append(Requirement(expression["key"], expression["operator"], values))
    return LabelSelector(tuple(requirements))


def format_labels(labels: Mapping[str, str] | None) -> str:
    """`a=b,c=d` in order of keys. Models apimachinery labels.FormatLabels."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items()))


def format_label_selector(selector: Obj | None) -> str:
    """A metav1.LabelSelector as kubectl takes it: `a=b,c in (d,e),!f`. Models metav1.FormatLabelSelector."""
    selector = selector or {}
    terms = [(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    terms += [(term["key"], _expression_text(term)) for term in selector.get("matchExpressions") or []]
    return ",".join(text for _, text in sorted(terms))


def _expression_text(term: Obj) -> str:
    key, operator = term["key"], term["operator"]
    if operator == "Exists":
        return str(key)
    if operator == "DoesNotExist":
        return f"!{key}"
    return f"{key} {_WORDS[operator]} ({','.join(sorted(term.get('values') or []))})"


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = [match["symbol"] or match["word"] for match in _TOKEN.finditer(text)]
        self._at = 0

    def requirements(self) -> list[Requirement]:
        found: list[Requirement] = []
        while self._peek() != _END:
            found.append(self._parsed_requirement())
            if self._peek() == _END:
                break
            separator = self._next()
            if separator != ",":
                raise ValueError(f"found '{separator}', expected: ',' or 'end of string'")
            if not (_is_word(self._peek()) or self._peek() == "!"):
                raise ValueError(f"found '{self._peek()}', expected: identifier after ','")
        return found

    def _parsed_requirement(self) -> Requirement:
        if not (_is_word(self._peek()) or self._peek() == "!"):
            raise ValueError(f"found '{self._peek()}', expected: !, identifier, or 'end of string'")
        try:
            return self._requirement()
        except ValueError as error:
            raise ValueError(f"unable to parse requirement: {error}") from None

    def _requirement(self) -> Requirement:
        negated = self._peek() == "!" and bool(self._next())
        key = self._next()
        if not _is_word(key):
            raise ValueError(f"found '{key}', expected: identifier")
        for problem in label_key_problems(key):
            raise ValueError(str(invalid_value("<nil>", key, problem)))
        if negated:
            return Requirement(key, "DoesNotExist")
        if self._peek() in (_END, ","):
            return Requirement(key, "Exists")
        return self._comparison(key)

    def _comparison(self, key: str) -> Requirement:
        operator = self._next()
        if operator in ("in", "notin"):
            values = self._value_set()
            return _checked(Requirement(key, "In" if operator == "in" else "NotIn", values))
        if operator not in _SYMBOL_OPERATORS:
            raise ValueError(f"found '{operator}', expected: {', '.join(_OPERATORS)}")
        value = _END if self._peek() in (_END, ",") else self._next()
        if value and not _is_word(value):
            raise ValueError(f"found '{value}', expected: identifier")
        return _checked(Requirement(key, _SYMBOL_OPERATORS[operator], (value,)))

    def _value_set(self) -> tuple[str, ...]:
        opening = self._next()
        if opening != "(":
            raise ValueError(f"found '{opening}' expected: '('")
        values: set[str] = set()
        expects_value = True
        while True:
            token = self._next()
            if token == ")":
                if expects_value:
                    values.add("")
                return tuple(sorted(values))
            if token == ",":
                if expects_value:
                    values.add("")
                expects_value = True
            elif _is_word(token) and expects_value:
                values.add(token)
                expects_value = False
            else:
                expected = "',', ')' or identifier" if expects_value else "',' or ')'"
                raise ValueError(f"found '{token}', expected: {expected}")

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else _END

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token


def _is_word(token: str) -> bool:
    return token != _END and token not in ("=", "==", "!=", "!", "(", ")", ",", "<", ">")


def _checked(requirement: Requirement) -> Requirement:
    if requirement.operator in ("Gt", "Lt") and not re.fullmatch(r"[+-]?\d+", requirement.values[0]):
        why = "for 'Gt', 'Lt' operators, the value must be an integer"
        raise ValueError(str(invalid_value("values[0]", requirement.values[0], why)))
    for index, value in enumerate(requirement.values):
        for problem in label_value_problems(value):
            raise ValueError(str(invalid_value(f"values[{index}][{requirement.key}]", value, problem)))
    return requirement


@dataclass(frozen=True)
class FieldTerm:
    """One condition on one field."""

    field: str
    value: str
    negated: bool = False

    def matches(self, fields: Mapping[str, str]) -> bool:
        """True if the field has, or has not, that value."""
        return (fields.get(self.field, "") == self.value) != self.negated


def parse_field_selector(text: str) -> tuple[FieldTerm, ...]:
    """Reads `metadata.name=a,status.phase!=Running`; a backslash escapes `,`, `=` and itself."""
    return tuple(_field_term(text, term) for term in _split_unescaped(text) if term)


def _split_unescaped(text: str) -> list[str]:
    terms, start, at = [], 0, 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == ",":
            terms.append(text[start:at])
            start = at + 1
        at += 1
    return [*terms, text[start:]]


def _field_term(selector: str, term: str) -> FieldTerm:
    found = re.match(r"(?P<field>[^=!]*)(?P<operator>!=|==|=)(?P<value>.*)", term, re.DOTALL)
    if found is None:
        raise StatusError.bad_request(f"invalid selector: '{selector}'; can't understand '{term}'")
    value = re.sub(r"\\(.)", r"\1", found["value"])
    return FieldTerm(found["field"], value, negated=found["operator"] == "!=")
