"""Questions about identity and rights that are answered and never stored: `kubectl auth can-i`, `kubectl auth whoami`.

The policy itself is in `auth.py` and `rbac.py`. Models apiserver pkg/registry/authorization and authentication (v1.36).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from .. import schema
from ..objects import Obj
from . import fields
from .auth import DISCOVERY_PATHS, Attributes, User, is_allowed
from .fields import Gvk
from .fieldset import compare
from .managed_fields import UPDATE, Manager, Owned, write_entries
from .rbac import Roles
from .status import Cause, StatusError, invalid_value

TokenReader = Callable[[str, Sequence[str]], tuple[User, list[str]] | None]
"""Whose token it is, and for which of these audiences."""


@dataclass(frozen=True)
class Knowledge:
    """What an answer may need beside the question."""

    read_token: TokenReader
    roles: Roles
    manager: str
    """Who owns the fields of the question."""
    now: str


def _no_causes(_asked: Obj) -> list[Cause]:
    return []


@dataclass(frozen=True)
class Review:
    """One kind of question."""

    plural: str
    kind: str
    group: str
    answer: Callable[[User, Obj, Knowledge], Obj]
    """The `status` for a user who asks and the `spec` of the question."""
    check: Callable[[Obj], list[Cause]] = _no_causes
    """What is wrong with the question."""
    namespaced: bool = False
    version: str = "v1"
    repeats: bool = True
    """The answer repeats the question."""

    @property
    def api_version(self) -> str:
        """`authorization.k8s.io/v1`."""
        return f"{self.group}/{self.version}"

    @property
    def gvk(self) -> Gvk:
        """Group, version and kind."""
        return self.group, self.version, self.kind

    def reply(self, user: User, asked: Obj, known: Knowledge, namespace: str = "") -> Obj:
        """The question with its answer. `namespace` is the one of the URL."""
        spec, metadata = asked.get("spec") or {}, asked.get("metadata") or {}
        if self.namespaced:
            metadata = {**metadata, "namespace": metadata.get("namespace") or namespace}
        causes = self.check({**asked, "spec": spec, "metadata": metadata})
        if causes:
            raise StatusError.invalid(f"{self.kind}.{self.group}", "", causes)
        if self.namespaced and metadata["namespace"] != namespace:
            why = "the namespace of the provided object does not match the namespace sent on the request"
            raise StatusError.bad_request(why)
        head: Obj = {"kind": self.kind, "apiVersion": self.api_version, "metadata": metadata}
        status = self.answer(user, spec, known)
        if self.repeats:
            write_entries(head, self._owners(asked, known))
            return {**head, "spec": spec, "status": status}
        # The one is made at a time; the other leaves its question out.
        head["metadata"] = {"creationTimestamp": known.now} if self.group == _IDENTITY else {}
        return {**head, **({} if self.group == _IDENTITY else {"spec": {}}), "status": status}

    def _owners(self, asked: Obj, known: Knowledge) -> list[Owned]:
        type_name = schema.kind_type(*self.gvk)
        sent = {field: value for field, value in asked.items() if field in ("spec", "status")}
        owned = compare(fields.empty(type_name), sent, type_name).touched
        return [Owned(Manager(known.manager, UPDATE, self.api_version), owned, known.now)] if owned else []


def _check_self_access(asked: Obj) -> list[Cause]:
    """Models pkg/apis/authorization/validation (v1.36)."""
    spec = asked["spec"]
    named, unnamed = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    causes: list[Cause] = []
    if named is not None and unnamed is not None:
        why = "cannot be specified in combination with resourceAttributes"
        causes.append(invalid_value("spec.nonResourceAttributes", unnamed, why))
    if named is None and unnamed is None:
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        causes.append(invalid_value("spec.resourceAttributes", None, why))
    return causes + _check_metadata(asked["metadata"])


def _check_access(asked: Obj) -> list[Cause]:
    causes = _check_self_access({**asked, "metadata": {}})
    if not asked["spec"].get("user") and not asked["spec"].get("groups"):
        causes.append(invalid_value("spec.user", "", "at least one of user or group must be specified"))
    return causes + _check_metadata(asked["metadata"])


def _check_local_access(asked: Obj) -> list[Cause]:
    spec, own = asked["spec"], asked["metadata"].get("namespace") or ""
    others = {field: value for field, value in asked["metadata"].items() if field != "namespace"}
    causes = _check_access({**asked, "metadata": {}}) + _check_metadata(others, " except for namespace")
    named, unnamed = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    where = (named or {}).get("namespace") or ""
    if named is not None and where != own:
        causes.append(invalid_value("spec.resourceAttributes.namespace", where, "must match metadata.namespace"))
    if unnamed is not None:
        causes.append(invalid_value("spec.nonResourceAttributes", unnamed, "disallowed on this kind of request"))
    return causes


def _check_metadata(metadata: Obj, exception: str = "") -> list[Cause]:
    given = {field: value for field, value in metadata.items() if value and field != "managedFields"}
    return [invalid_value("metadata", given, f"must be empty{exception}")] if given else []


def _self_access(user: User, spec: Obj, known: Knowledge) -> Obj:
    asked = _attributes(spec)
    allowed = is_allowed(user, asked, known.roles.allow)
    reason = "" if user.is_master else known.roles.reason(user, asked)
    return {"allowed": allowed, **({"reason": reason} if reason else {})}


def _subject_access(_user: User, spec: Obj, known: Knowledge) -> Obj:
    return _self_access(User(spec.get("user") or "", tuple(spec.get("groups") or ())), spec, known)


def _attributes(spec: Obj) -> Attributes:
    path = spec.get("nonResourceAttributes")
    if path:
        return Attributes(path.get("verb", ""), path.get("path", ""))
    asked = spec.get("resourceAttributes") or {}
    resource = "/".join(part for part in (asked.get("resource"), asked.get("subresource")) if part)
    return Attributes(
        asked.get("verb", ""),
        "",
        asked.get("group", ""),
        resource or "*",
        asked.get("namespace", ""),
        asked.get("name", ""),
    )


def _self_rules(user: User, spec: Obj, known: Knowledge) -> Obj:
    if not spec.get("namespace"):
        raise StatusError.bad_request("no namespace on request")
    if user.is_master:
        resource_rules = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
        path_rules = [{"verbs": ["*"], "nonResourceURLs": ["*"]}]
    else:
        resource_rules = [
            {"verbs": ["create"], "apiGroups": [review.group], "resources": [review.plural]}
            for review in REVIEWS.values()
            if review.plural.startswith("self")
        ]
        open_paths = sorted({text for path in DISCOVERY_PATHS for text in _with_below(path)})
        path_rules = [{"verbs": ["get"], "nonResourceURLs": open_paths}]
        for rule in known.roles.rules_of(user, spec["namespace"]):
            (path_rules if rule.get("nonResourceURLs") else resource_rules).append(rule)
    return {"resourceRules": resource_rules, "nonResourceRules": path_rules, "incomplete": False}


def _with_below(path: str) -> tuple[str, ...]:
    """A path, and what is below it where there is anything."""
    return (path, f"{path}/*") if path in ("/api", "/apis", "/openapi") else (path,)


def _self_identity(user: User, _spec: Obj, _known: Knowledge) -> Obj:
    return {"userInfo": _user_info(user)}


def _token_identity(_user: User, spec: Obj, known: Knowledge) -> Obj:
    if not spec.get("token"):
        raise StatusError.bad_request("token is required for TokenReview in authentication")
    found = known.read_token(spec["token"], spec.get("audiences") or ())
    if found is None:
        return {"user": {}, "error": "invalid bearer token"}
    user, audiences = found
    return {"authenticated": True, "user": _user_info(user), "audiences": audiences}


def _user_info(user: User) -> Obj:
    known = {"username": user.name, "uid": user.uid, "groups": list(user.groups), "extra": user.extra}
    return {key: value for key, value in known.items() if value}


_ACCESS, _IDENTITY = "authorization.k8s.io", "authentication.k8s.io"
REVIEWS = MappingProxyType(
    {
        (review.group, review.version, review.plural): review
        for review in (
            Review("selfsubjectreviews", "SelfSubjectReview", _IDENTITY, _self_identity, repeats=False),
            Review("tokenreviews", "TokenReview", _IDENTITY, _token_identity),
            Review(
                "localsubjectaccessreviews",
                "LocalSubjectAccessReview",
                _ACCESS,
                _subject_access,
                _check_local_access,
                True,
            ),
            Review("selfsubjectaccessreviews", "SelfSubjectAccessReview", _ACCESS, _self_access, _check_self_access),
            Review("selfsubjectrulesreviews", "SelfSubjectRulesReview", _ACCESS, _self_rules, repeats=False),
            Review("subjectaccessreviews", "SubjectAccessReview", _ACCESS, _subject_access, _check_access),
        )
    }
)
"""Every kind of question, by (group, version, plural)."""
