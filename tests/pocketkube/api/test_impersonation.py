"""Who may act as whom."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from lab_helpers.pocketkube.api.auth import ANONYMOUS, Attributes, User
from lab_helpers.pocketkube.api.impersonation import impersonate
from lab_helpers.pocketkube.api.status import StatusError

ANN = User("ann", ("system:authenticated",))


def act(headers: list[tuple[str, str]], *allowed: tuple[str, str]) -> User:
    def grants(user: User, asked: Attributes) -> bool:
        return user == ANN and asked.verb == "impersonate" and (asked.resource, asked.name) in allowed

    return impersonate(ANN, CIMultiDict(headers), grants)


def test_without_a_grant_nobody_acts_as_another() -> None:
    with pytest.raises(StatusError) as caught:
        act([("Impersonate-User", "bob")])
    assert caught.value.code == 403
    assert caught.value.message == (
        'users.authentication.k8s.io "bob" is forbidden: User "ann" cannot impersonate:user-info resource "users" '
        'in API group "authentication.k8s.io" at the cluster scope'
    )
    assert act([("Accept", "a")]) is ANN


def test_each_part_of_an_identity_is_granted_by_itself() -> None:
    headers = [("Impersonate-User", "bob"), ("Impersonate-Group", "staff"), ("Impersonate-Group", "dev")]
    with pytest.raises(StatusError, match="cannot impersonate:user-info"):
        act(headers, ("users", "bob"), ("groups", "staff"))
    assert act(headers, ("users", "bob"), ("groups", "staff"), ("groups", "dev")) == User(
        "bob", ("staff", "dev", "system:authenticated")
    )


def test_accounts_and_nobody_have_their_groups() -> None:
    account = act([("Impersonate-User", "system:serviceaccount:a:b")], ("serviceaccounts", "b"))
    assert account.groups == ("system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated")
    assert act([("Impersonate-User", ANONYMOUS.name)], ("users", ANONYMOUS.name)) == ANONYMOUS


def test_groups_alone_are_nobody() -> None:
    with pytest.raises(StatusError) as caught:
        act([("Impersonate-Group", "staff")])
    assert caught.value.code == 400
    assert caught.value.message == (
        'requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"staff"}, Extra:map[string][]string(nil)} '
        "without impersonating a user name"
    )
