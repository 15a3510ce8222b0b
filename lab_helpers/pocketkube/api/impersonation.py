"""Acting as somebody else: `kubectl --as`, for administrators and for whom a role grants the verb `impersonate`.

Each part of the wanted identity must be granted. Models apiserver pkg/endpoints/filters/impersonation (v1.36), but for
its finer verbs such as `impersonate:user-info`: they are named where a request is refused, and grant nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from .auth import (
    ANONYMOUS,
    AUTHENTICATED,
    UNAUTHENTICATED,
    Attributes,
    Grants,
    User,
    is_allowed,
    refusal,
    service_account_user,
)
from .status import StatusError, go_quote

_USER, _GROUP, _UID, _EXTRA = "impersonate-user", "impersonate-group", "impersonate-uid", "impersonate-extra-"
_IDENTITY = "authentication.k8s.io"
_ACCOUNT, _NODE = "system:serviceaccount:", "system:node:"


def impersonate(user: User, headers: Mapping[str, str], grants: Grants) -> User:
    """Whom the user acts as: himself, unless headers name another. StatusError 403 if he may not."""
    given = [(name.lower(), value) for name, value in headers.items() if name.lower().startswith("impersonate-")]
    if not given:
        return user
    name = next((value for header, value in given if header == _USER), "")
    groups = tuple(value for header, value in given if header == _GROUP)
    uid = next((value for header, value in given if header == _UID), "")
    extra: dict[str, list[str]] = {}
    for header, value in given:
        if header.startswith(_EXTRA):
            extra.setdefault(unquote(header.removeprefix(_EXTRA)), []).append(value)
    if not name:
        if groups or uid or extra:
            raise StatusError.bad_request(f"requested {_go_user(uid, groups, extra)} without impersonating a user name")
        return user
    if not all(is_allowed(user, asked, grants) for asked in _asked(name, groups, uid, extra)):
        raise refusal(user, _first_asked(name))
    return _identity(name, groups, uid, extra)


def _asked(name: str, groups: tuple[str, ...], uid: str, extra: dict[str, list[str]]) -> Iterator[Attributes]:
    namespace, account = _account(name)
    if account:
        yield Attributes("impersonate", "", "", "serviceaccounts", namespace, account)
    else:
        yield Attributes("impersonate", "", "", "users", "", name)
    for group in groups:
        yield Attributes("impersonate", "", "", "groups", "", group)
    for key, values in extra.items():
        for value in values:
            yield Attributes("impersonate", "", _IDENTITY, f"userextras/{key}", "", value)
    if uid:
        yield Attributes("impersonate", "", _IDENTITY, "uids", "", uid)


def _first_asked(name: str) -> Attributes:
    """What upstream asks first, and speaks of if all it asks is refused."""
    namespace, account = _account(name)
    if account:
        return Attributes("impersonate:serviceaccount", "", _IDENTITY, "serviceaccounts", namespace, account)
    if name.startswith(_NODE):
        return Attributes("impersonate:arbitrary-node", "", _IDENTITY, "nodes", "", name.removeprefix(_NODE))
    return Attributes("impersonate:user-info", "", _IDENTITY, "users", "", name)


def _go_user(uid: str, groups: tuple[str, ...], extra: dict[str, list[str]]) -> str:
    """An identity without a name, as Go prints it."""
    said = ", ".join(f"{go_quote(key)}:{_go_list(tuple(values))}" for key, values in sorted(extra.items()))
    more = f"{{{said}}}" if extra else "(nil)"
    return (
        f'&user.DefaultInfo{{Name:"", UID:{go_quote(uid)}, Groups:{_go_list(groups)}, Extra:map[string][]string{more}}}'
    )


def _go_list(texts: tuple[str, ...]) -> str:
    return f"[]string{{{', '.join(go_quote(text) for text in texts)}}}" if texts else "[]string(nil)"


def _account(name: str) -> tuple[str, str]:
    """Namespace and name of a ServiceAccount; nothing for anybody else."""
    namespace, colon, account = name.removeprefix(_ACCOUNT).partition(":")
    is_account = name.startswith(_ACCOUNT) and bool(namespace and colon and account) and ":" not in account
    return (namespace, account) if is_account else ("", "")


def _identity(name: str, groups: tuple[str, ...], uid: str, extra: dict[str, list[str]]) -> User:
    namespace, account = _account(name)
    if account and not groups:
        return service_account_user(namespace, account, extra, uid)
    if name == ANONYMOUS.name:
        return User(name, tuple(dict.fromkeys((*groups, UNAUTHENTICATED))), extra, uid)
    if {AUTHENTICATED, UNAUTHENTICATED}.isdisjoint(groups):
        groups = (*groups, AUTHENTICATED)
    return User(name, groups, extra, uid)
