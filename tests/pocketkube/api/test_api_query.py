"""Queries as the options of a verb."""

from __future__ import annotations

import pytest

from lab_helpers.pocketkube.api.auth import TRUSTED
from lab_helpers.pocketkube.api.query import delete_options, flag, list_options, watch_options, write_context
from lab_helpers.pocketkube.api.status import StatusError


def test_numbers_are_read_as_go_reads_them() -> None:
    assert list_options({"limit": "500"}).limit == 500
    assert list_options({"limit": ""}).limit == 0
    for text, why in (("abc", "invalid syntax"), ("1.5", "invalid syntax"), ("9" * 30, "value out of range")):
        with pytest.raises(StatusError) as refused:
            list_options({"limit": text})
        assert (refused.value.code, refused.value.message) == (400, f'strconv.ParseInt: parsing "{text}": {why}')


def test_a_switch_is_on_unless_it_says_no() -> None:
    assert [flag({"watch": value}, "watch") for value in ("true", "1", "", "false", "0", "False")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]
    assert not flag({}, "watch")


def test_a_watch_of_one_object_is_a_selection_by_name() -> None:
    options = watch_options({"fieldSelector": "a=b", "sendInitialEvents": "false", "timeoutSeconds": "9"}, "web")
    assert options.field_selector == "a=b,metadata.name=web"
    assert options.send_initial_events is False
    assert options.timeout_seconds == 9
    assert watch_options({}, "").send_initial_events is None


def test_who_writes_and_how() -> None:
    query = {"dryRun": "All", "fieldManager": "kubectl-create", "fieldValidation": "Strict", "force": "true"}
    ctx = write_context(query, TRUSTED, "kubectl/v1.37", "CreateOptions")
    assert (ctx.dry_run, ctx.manager, ctx.field_validation, ctx.force) == (True, "kubectl-create", "Strict", True)
    assert write_context({}, TRUSTED, "kubectl/v1.37", "CreateOptions").manager == "kubectl"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"dryRun": "Some"}, "dryRun"),
        ({"fieldValidation": "Lax"}, "fieldValidation"),
        ({"fieldManager": "x" * 129}, "fieldManager"),
        ({"fieldManager": "a\nb"}, "fieldManager"),
    ],
)
def test_options_that_make_no_sense(query: dict[str, str], field: str) -> None:
    with pytest.raises(StatusError) as refused:
        write_context(query, TRUSTED, "", "CreateOptions")
    assert refused.value.code == 422
    assert refused.value.message.startswith(f'CreateOptions.meta.k8s.io "" is invalid: {field}: ')


def test_a_delete_is_told_by_its_body_or_by_its_query() -> None:
    body = {"gracePeriodSeconds": 0, "propagationPolicy": "Background", "preconditions": {"uid": "u"}}
    options = delete_options({"gracePeriodSeconds": "30"}, body)
    assert (options.grace_period_seconds, options.propagation_policy, options.uid) == (0, "Background", "u")
    options = delete_options({"gracePeriodSeconds": "30", "orphanDependents": "true"}, {})
    assert (options.grace_period_seconds, options.orphan_dependents) == (30, True)
    with pytest.raises(StatusError):
        delete_options({}, {"propagationPolicy": "Sideways"})
