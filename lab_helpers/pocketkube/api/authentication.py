"""Who sent a request, by client certificate or service account token; and who gets a token.

What users may is left to `auth.py`, what is in a token to `tokens.py`.
Models apiserver pkg/authentication/request, pkg/serviceaccount/claims.go and
pkg/registry/core/serviceaccount/storage/token.go (v1.36).
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from ..objects import Obj, is_deleting, labels_of, name_of, namespace_of, uid_of
from ..resources.table import RESOURCES
from .auth import ANONYMOUS, TRUSTED, User, service_account_user, user_of_certificate
from .impersonation import impersonate
from .operations import Operations
from .rbac import Roles
from .status import StatusError, go_quote, invalid_value
from .tokens import BOUND_KINDS, Claims, TokenAuthority, check_expiration

_EXTRA = "authentication.kubernetes.io"
_INVALID = "kubernetes.io/legacy-token-invalid-since"


class Authenticator:
    """Finds out who is asking, from what is stored about accounts and Pods."""

    def __init__(self, operations: Operations, tokens: TokenAuthority) -> None:
        self._operations = operations
        self._tokens = tokens
        self._roles = Roles(operations.store)

    def user_of_request(self, request: web.BaseRequest) -> User:
        """Who sent it, or StatusError 401 for a token that is worth nothing."""
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client has gone")
        if transport.get_extra_info("sslcontext") is None:
            return TRUSTED
        user = self._identify(request, transport.get_extra_info("peercert"))
        return impersonate(user, request.headers, self._roles.allow)

    def user_of_token(self, token: str, audiences: Sequence[str] = ()) -> tuple[User, list[str]] | None:
        """Whose token it is and for which of the audiences, if its account and what it is bound to are still there."""
        claims = self._tokens.verify(token, audiences=audiences)
        if claims is None or not self._is_current(claims, token):
            return None
        extra = {f"{_EXTRA}/credential-id": [f"JTI={claims.id}"]} if claims.id else {}
        if claims.node is not None:
            extra |= {f"{_EXTRA}/node-name": [claims.node["name"]]}
            extra |= {f"{_EXTRA}/node-uid": [claims.node["uid"]]} if claims.node.get("uid") else {}
        if claims.bound is not None and claims.bound["kind"] == "pod":
            extra |= {f"{_EXTRA}/pod-name": [claims.bound["name"]], f"{_EXTRA}/pod-uid": [claims.bound["uid"]]}
        user = service_account_user(claims.namespace, claims.service_account, extra, claims.service_account_uid)
        return user, [name for name in audiences or (self._tokens.issuer,) if name in claims.audiences]

    def request_token(self, account: Obj, request: Obj) -> Obj:
        """Answers a TokenRequest; StatusError if it is not this account's, or should be bound to what is not there."""
        name, spec = (request.get("metadata") or {}).get("name"), request.get("spec") or {}
        if name and name != name_of(account):
            cause = invalid_value("metadata.name", name, "must match the service account name if specified")
            raise StatusError.invalid("TokenRequest.authentication.k8s.io", name_of(account), [cause])
        check_expiration(spec)
        reference = spec.get("boundObjectRef")
        if not reference:
            return self._tokens.issue(account, request)
        obj = self._bound_object(account, reference)
        request = {**request, "spec": {**spec, "boundObjectRef": {**reference, "uid": uid_of(obj)}}}
        return self._tokens.issue(account, request, node=self._node_of(obj))

    def _bound_object(self, account: Obj, reference: Obj) -> Obj:
        api_version, kind, name = (str(reference.get(key) or "") for key in ("apiVersion", "kind", "name"))
        if kind.lower() not in BOUND_KINDS or not kind.istitle() or api_version != "v1":
            group, _, version = api_version.rpartition("/")
            raise StatusError.bad_request(f"cannot bind token to object of type {group}/{version}, Kind={kind}")
        obj = self._operations.get(RESOURCES[f"{kind.lower()}s"], namespace_of(account), name)
        if kind == "Pod" and obj["spec"].get("serviceAccountName") != name_of(account):
            theirs = go_quote(obj["spec"].get("serviceAccountName") or "")
            ours = go_quote(name_of(account))
            why = f"cannot bind token for serviceaccount {ours} to pod running with serviceaccount {theirs}"
            raise StatusError.bad_request(why)
        if reference.get("uid") not in (None, "", uid_of(obj)):
            raise StatusError.conflict(
                kind,
                name,
                f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record. "
                "The object might have been deleted and then recreated",
            )
        return obj

    def _node_of(self, obj: Obj) -> Obj | None:
        node_name = (obj.get("spec") or {}).get("nodeName") if "containers" in (obj.get("spec") or {}) else None
        if not node_name:
            return None
        node = self._lookup("nodes", "", node_name)
        return {"name": node_name, **({"uid": uid_of(node)} if node is not None else {})}

    def _is_current(self, claims: Claims, token: str) -> bool:
        account = self._lookup("serviceaccounts", claims.namespace, claims.service_account)
        if account is None or uid_of(account) != claims.service_account_uid:
            return False
        if claims.bound is None:
            return True
        obj = self._lookup(f"{claims.bound['kind']}s", claims.namespace, claims.bound["name"])
        if obj is None:
            return False
        if "uid" not in claims.bound:
            return not is_deleting(obj) and _is_in(obj, token)
        return bool(uid_of(obj) == claims.bound["uid"])

    def _identify(self, request: web.BaseRequest, certificate: dict[str, Any] | None) -> User:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if certificate:
            return user_of_certificate(certificate)
        if scheme.lower() != "bearer":
            return ANONYMOUS
        found = self.user_of_token(token.strip())
        if found is None:
            raise StatusError.unauthorized()
        return found[0]

    def _lookup(self, resource: str, namespace: str, name: str) -> Obj | None:
        try:
            return self._operations.get(RESOURCES[resource], namespace, name)
        except StatusError as error:
            if error.code != 404:
                raise
            return None


def _is_in(secret: Obj, token: str) -> bool:
    """A token that holds for good is worth something as long as its Secret has it."""
    held = base64.b64decode((secret.get("data") or {}).get("token") or "")
    return secrets.compare_digest(held, token.encode()) and not labels_of(secret).get(_INVALID)
