"""Quantities: one way to write each, and their order."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab_helpers.pocketkube import quantity


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("0.5", "500m"), ("1000m", "1"), ("1024Mi", "1Gi"), ("1.5Gi", "1536Mi"), ("64Mi", "64Mi"), ("100", "100"),
        ("2000", "2k"), ("0.5Mi", "512Ki"), ("0.1Ki", "102400m"), ("1e3", "1e3"), ("129e6", "129e6"), ("0", "0"),
        ("-1.5", "-1500m"), (".5", "500m"), (1, "1"), (1.5, "1500m"), ("99999999999999999999", "9223372036854775807"),
    ],
)  # fmt: skip
def test_a_quantity_has_one_way_of_being_written(written, stored):
    assert quantity.canonical(written) == stored


@pytest.mark.parametrize("written", ["", "abc", "1.2.3", "1KiB", "1 ", "--1", ".", "1i", "1e99999999"])
def test_what_is_no_quantity_is_refused(written):
    with pytest.raises(ValueError, match="quantit"):
        quantity.canonical(written)


def test_values_compare_across_suffixes():
    assert quantity.value("500m") == Decimal("0.5")
    assert quantity.value("1Gi") == 1024**3
    assert quantity.value("1k") < quantity.value("1Ki")


@given(st.integers(-(10**15), 10**15), st.sampled_from(["", "m", "k", "M", "Ki", "Mi", "e2"]))
def test_rewriting_changes_neither_the_value_nor_itself(number, suffix):
    once = quantity.canonical(f"{number}{suffix}")
    assert quantity.value(once) == quantity.value(f"{number}{suffix}")
    assert quantity.canonical(once) == once
