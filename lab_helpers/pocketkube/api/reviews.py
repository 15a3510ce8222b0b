"""Questions about identity and rights that are answered and never stored: `kubectl auth can-i`, `kubectl auth whoami`.

The policy itself is in `auth.py`. Models apiserver pkg/registry/authorization and authentication (v1.36).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

from ..objects import Obj
from .auth import Attributes, User, is_allowed
from .fields import Gvk

TokenReader = Callable[[str], User | None]


@dataclass(frozen=True)
class Review:
    """One kind of question."""

    plural: str
    kind: str
    group: str
    answer: Callable[[User, Obj, TokenReader], Obj]
    """The `status` for a user who asks and the `spec` of the question."""
    namespaced: bool = False
    version: str = "v1"

    @property
    def api_version(self) -> str:
        """`authorization.k8s.io/v1`."""
        return f"{self.group}/{self.version}"

    @property
    def gvk(self) -> Gvk:
        """Group, version and kind."""
        return self.group, self.version, self.kind

    def reply(self, user: User, asked: Obj, read_token: TokenReader) -> Obj:
        """The question with its answer."""
        spec = asked.get("spec") or {}
        head = {"kind": self.kind, "apiVersion": self.api_version, "metadata": asked.get("metadata") or {}}
        status = self.answer(user, spec, read_token)
        return {**head, **({"spec": spec} if spec else {}), "status": status}


def _self_access(user: User, spec: Obj, _read_token: TokenReader) -> Obj:
    return _access_status(user, spec)


def _subject_access(_user: User, spec: Obj, _read_token: TokenReader) -> Obj:
    return _access_status(User(spec.get("user") or "", tuple(spec.get("groups") or ())), spec)


def _access_status(user: User, spec: Obj) -> Obj:
    allowed = is_allowed(user, _attributes(spec))
    why = {"reason": "the lab's administrator may do everything"} if allowed and user.is_master else {}
    return {"allowed": allowed, **why}


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


def _self_rules(user: User, _spec: Obj, _read_token: TokenReader) -> Obj:
    if user.is_master:
        resource_rules = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
        path_rules = [{"verbs": ["*"], "nonResourceURLs": ["*"]}]
    else:
        groups = ["authentication.k8s.io", "authorization.k8s.io"]
        reviews = [review.plural for review in REVIEWS.values() if review.plural.startswith("self")]
        resource_rules = [{"verbs": ["create"], "apiGroups": groups, "resources": reviews}]
        paths = ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi/*", "/readyz", "/version"]
        path_rules = [{"verbs": ["get"], "nonResourceURLs": paths}]
    return {"resourceRules": resource_rules, "nonResourceRules": path_rules, "incomplete": False}


def _self_identity(user: User, _spec: Obj, _read_token: TokenReader) -> Obj:
    return {"userInfo": _user_info(user)}


def _token_identity(_user: User, spec: Obj, read_token: TokenReader) -> Obj:
    found = read_token(spec.get("token") or "")
    if found is None:
        return {"error": "invalid bearer token"}
    return {"authenticated": True, "user": _user_info(found)}


def _user_info(user: User) -> Obj:
    return {"username": user.name, "groups": list(user.groups), **({"extra": user.extra} if user.extra else {})}


_ACCESS, _IDENTITY = "authorization.k8s.io", "authentication.k8s.io"
REVIEWS = MappingProxyType(
    {
        (review.group, review.version, review.plural): review
        for review in (
            Review("selfsubjectreviews", "SelfSubjectReview", _IDENTITY, _self_identity),
            Review("tokenreviews", "TokenReview", _IDENTITY, _token_identity),
            Review("localsubjectaccessreviews", "LocalSubjectAccessReview", _ACCESS, _subject_access, namespaced=True),
            Review("selfsubjectaccessreviews", "SelfSubjectAccessReview", _ACCESS, _self_access),
            Review("selfsubjectrulesreviews", "SelfSubjectRulesReview", _ACCESS, _self_rules),
            Review("subjectaccessreviews", "SubjectAccessReview", _ACCESS, _subject_access),
        )
    }
)
"""Every kind of question, by (group, version, plural)."""
