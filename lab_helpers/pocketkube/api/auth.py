"""Users, and what they may: a fixed, small policy.

    trusted socket     the cluster's own processes: everything
    system:masters     everything
    system:authenticated (service accounts)  discovery and questions about oneself
    system:anonymous   health and version

Roles and their bindings add to that (`rbac.py`); a lab's learner is its administrator.
Finding out who sent a request is left to `authentication.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .status import StatusError, go_quote

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"

_PUBLIC_PATHS = ("/healthz", "/livez", "/readyz", "/version")
ISSUER_PATHS = ("/.well-known/openid-configuration", "/openid/v1/jwks")
DISCOVERY_PATHS = ("/", "/api", "/apis", "/openapi", *ISSUER_PATHS, *_PUBLIC_PATHS)
_SELF_REVIEWS = ("selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews")


@dataclass(frozen=True)
class User:
    """Whoever sent a request."""

    name: str
    groups: tuple[str, ...]
    extra: dict[str, list[str]] = field(default_factory=dict, compare=False)
    uid: str = field(default="", compare=False)

    @property
    def is_master(self) -> bool:
        """May do everything."""
        return MASTERS in self.groups


ANONYMOUS = User("system:anonymous", (UNAUTHENTICATED,))
TRUSTED = User("system:apiserver", (MASTERS, AUTHENTICATED))
"""The cluster's own processes, on the Unix socket that only they can open."""


@dataclass(frozen=True)
class Attributes:
    """What is asked for, as authorization sees it. A path without a resource has only verb and path."""

    verb: str
    path: str
    group: str = ""
    resource: str = ""
    """With its subresource: `pods/log`."""
    namespace: str = ""
    name: str = ""


Grants = Callable[[User, Attributes], bool]
"""What is allowed beyond the fixed policy."""


def no_grants(user: User, asked: Attributes) -> bool:
    """The fixed policy alone."""
    return False


def user_of_certificate(certificate: dict[str, Any]) -> User:
    """Common name and organizations of a verified client certificate (`ssl.SSLSocket.getpeercert`)."""
    subject = [pair for relative in certificate.get("subject", ()) for pair in relative]
    name = next((value for key, value in subject if key == "commonName"), "")
    groups = [value for key, value in subject if key == "organizationName"]
    return User(name, (*groups, AUTHENTICATED))


def service_account_user(namespace: str, name: str, extra: dict[str, list[str]] | None = None, uid: str = "") -> User:
    """Who a Pod is. Models apiserver pkg/authentication/serviceaccount (v1.36)."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return User(f"system:serviceaccount:{namespace}:{name}", groups, extra or {}, uid)


def is_allowed(user: User, asked: Attributes, grants: Grants = no_grants) -> bool:
    """The policy above, and what was granted beside it."""
    return user.is_master or _is_allowed_to_all(user, asked) or grants(user, asked)


def _is_allowed_to_all(user: User, asked: Attributes) -> bool:
    if not asked.resource:
        open_to_user = DISCOVERY_PATHS if AUTHENTICATED in user.groups else _PUBLIC_PATHS
        return asked.verb in ("get", "head") and _is_below(asked.path, open_to_user)
    return AUTHENTICATED in user.groups and asked.verb == "create" and asked.resource in _SELF_REVIEWS


def authorize(user: User, asked: Attributes, grants: Grants = no_grants) -> None:
    """StatusError 403 for who may not, and that is nobody in particular, too."""
    if not is_allowed(user, asked, grants):
        raise refusal(user, asked)


def refusal(user: User, asked: Attributes) -> StatusError:
    """Upstream's 403. Models apiserver pkg/endpoints/handlers/responsewriters/errors.go (v1.36)."""
    who = f"User {go_quote(user.name)} cannot {asked.verb}"
    if not asked.resource:
        return StatusError(403, "Forbidden", f"forbidden: {who} path {go_quote(asked.path)}", {})
    where = f"in the namespace {go_quote(asked.namespace)}" if asked.namespace else "at the cluster scope"
    why = f"{who} resource {go_quote(asked.resource)} in API group {go_quote(asked.group)} {where}"
    plural = asked.resource.partition("/")[0]
    return StatusError.forbidden(f"{plural}.{asked.group}" if asked.group else plural, asked.name, why)


def _is_below(path: str, roots: tuple[str, ...]) -> bool:
    return any(path == root or (root != "/" and path.startswith(f"{root}/")) for root in roots)
