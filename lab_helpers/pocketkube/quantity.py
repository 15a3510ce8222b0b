"""Quantities such as `500m`, `64Mi` and `2`: their value, and the one way each is written.

Models apimachinery pkg/api/resource/quantity.go (v1.36).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from decimal import ROUND_CEILING, Context, Decimal, DecimalException
from typing import NamedTuple

FORMAT_WRONG = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"  # upstream's text
)
_SHAPE = re.compile(r"([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)", re.ASCII)
_EXPONENT = re.compile(r"[eE][+-]?[0-9]{1,3}", re.ASCII)

_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_CONTEXT = Context(prec=1100)
_LARGEST = Decimal(2**63 - 1)
_NANO = Decimal("1e-9")


class _Quantity(NamedTuple):
    value: Decimal
    form: str
    """`binary`, `decimal` or `exponent`: the family of its suffix."""


@functools.lru_cache(maxsize=1024)
def _parse(text: str) -> _Quantity:
    """Splits and reads a quantity; ValueError with upstream's text."""
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise ValueError(FORMAT_WRONG)
    number, suffix = match.groups()
    if not _NUMBER.fullmatch(number):
        raise ValueError(FORMAT_WRONG)
    if suffix in _BINARY:
        form, factor = "binary", Decimal(1 << _BINARY[suffix])
    elif suffix in _DECIMAL:
        form, factor = "decimal", Decimal(1).scaleb(_DECIMAL[suffix])
    elif _EXPONENT.fullmatch(suffix):
        form, factor = "exponent", Decimal(1).scaleb(int(suffix[1:]))
    else:
        raise ValueError("unable to parse quantity's suffix")
    return _Quantity(_bounded(number, factor), form)


def _bounded(number: str, factor: Decimal) -> Decimal:
    """At least nano precision, rounded away from zero; at most 2^63-1."""
    try:
        value = _CONTEXT.multiply(Decimal(number), factor)
        rounded = abs(value).quantize(_NANO, rounding=ROUND_CEILING, context=_CONTEXT)
    except DecimalException:
        raise ValueError("unable to parse numeric part of quantity") from None
    return min(rounded, _LARGEST).copy_sign(value)


def value(text: str | int | float) -> Decimal:
    """The number that a quantity stands for: `500m` is 0.5. ValueError if it is none."""
    return _parse(str(text)).value


@functools.lru_cache(maxsize=1024)
def canonical(text: str | int | float) -> str:
    """The quantity as the API writes it: no fraction, the largest suffix, the family it came in (`1024Mi` -> `1Gi`)."""
    return _written(*_parse(str(text)))


def total(texts: Iterable[str | int]) -> str:
    """The sum of quantities, in the family of the first that is not zero: 64Mi and 1Gi are 1088Mi."""
    number, form = Decimal(0), "decimal"
    for text in texts:
        added = _parse(str(text))
        if number == 0:
            form = added.form
        number = _CONTEXT.add(number, added.value)
    return _written(number, form)


def _written(number: Decimal, form: str) -> str:
    if number == 0:
        return "0"
    if form == "binary" and number == number.to_integral_value() and abs(number) >= 1024:
        return _binary(int(number))
    return _decimal(number, "" if form != "exponent" else "e")


def _binary(number: int) -> str:
    for suffix, bits in reversed(_BINARY.items()):
        if number % (1 << bits) == 0:
            return f"{number >> bits}{suffix}"
    return str(number)


def _decimal(number: Decimal, exponent: str) -> str:
    for suffix, power in reversed(_DECIMAL.items()):
        scaled = number.scaleb(-power, context=_CONTEXT)
        if scaled == scaled.to_integral_value():
            ending = suffix if not exponent else f"e{power}" if power else ""
            return f"{int(scaled)}{ending}"
    raise ValueError(FORMAT_WRONG)
