"""Who is asking, and may they: client certificates, service account tokens, and a fixed, small policy.

    trusted socket     the cluster's own processes: everything
    system:masters     everything
    system:authenticated (service accounts)  discovery and questions about oneself
    system:anonymous   health and version

There is no RBAC: a lab's learner is its administrator. Making certificates is left to `pki.py`.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..clock import format_rfc3339
from ..objects import Obj
from .status import StatusError, go_quote, invalid_value

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"

_PUBLIC_PATHS = ("/healthz", "/livez", "/readyz", "/version")
_DISCOVERY_PATHS = ("/", "/api", "/apis", "/openapi", *_PUBLIC_PATHS)
_SELF_REVIEWS = ("selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews")
_SIGNATURE_HALF = 32
_MOST_REMEMBERED = 1000
_SHORTEST_TOKEN_SECONDS = 600
_LONGEST_TOKEN_SECONDS = 2**32


@dataclass(frozen=True)
class User:
    """Whoever sent a request."""

    name: str
    groups: tuple[str, ...]
    extra: dict[str, list[str]] = field(default_factory=dict, compare=False)

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


def user_of_certificate(certificate: dict[str, Any]) -> User:
    """Common name and organizations of a verified client certificate (`ssl.SSLSocket.getpeercert`)."""
    subject = [pair for relative in certificate.get("subject", ()) for pair in relative]
    name = next((value for key, value in subject if key == "commonName"), "")
    groups = [value for key, value in subject if key == "organizationName"]
    return User(name, (*groups, AUTHENTICATED))


def service_account_user(namespace: str, name: str, extra: dict[str, list[str]] | None = None) -> User:
    """Who a Pod is. Models apiserver pkg/authentication/serviceaccount (v1.36)."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return User(f"system:serviceaccount:{namespace}:{name}", groups, extra or {})


def impersonated_user(name: str, groups: Sequence[str]) -> User:
    """Who an administrator acts as (`kubectl --as`). Models apiserver pkg/endpoints/filters/impersonation (v1.36)."""
    if name == ANONYMOUS.name:
        return ANONYMOUS
    prefix, _, account = name.rpartition(":")
    kind, _, namespace = prefix.rpartition(":")
    if kind == "system:serviceaccount" and not groups:
        return service_account_user(namespace, account)
    return User(name, tuple(dict.fromkeys((*groups, AUTHENTICATED))))


def is_allowed(user: User, asked: Attributes) -> bool:
    """The policy above."""
    if user.is_master:
        return True
    if not asked.resource:
        open_to_user = _PUBLIC_PATHS if user is ANONYMOUS else _DISCOVERY_PATHS
        return asked.verb in ("get", "head") and _is_below(asked.path, open_to_user)
    return AUTHENTICATED in user.groups and asked.verb == "create" and asked.resource in _SELF_REVIEWS


def authorize(user: User, asked: Attributes) -> None:
    """StatusError 401 for nobody, 403 for somebody who may not."""
    if is_allowed(user, asked):
        return
    if user is ANONYMOUS:
        raise StatusError.unauthorized()
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


@dataclass(frozen=True)
class Claims:
    """What a token that holds says: whose it is, until when, and which Pod it is bound to."""

    namespace: str
    service_account: str
    service_account_uid: str
    expires: float
    bound: Obj | None = None


class TokenAuthority:
    """Signs and verifies service account tokens: JWTs, ES256, bound to an audience and a time.

    Whether the account and the Pod of a token are still there is left to the caller.
    """

    def __init__(self, key_file: Path, issuer: str) -> None:
        self._key_file = key_file
        self._loaded: ec.EllipticCurvePrivateKey | None = None
        self._verified: dict[str, Claims] = {}
        self.issuer = issuer

    def issue(self, account: Obj, request: Obj, now: float | None = None) -> Obj:
        """Answers a TokenRequest for a ServiceAccount."""
        now = time.time() if now is None else now
        spec = dict(request.get("spec") or {})
        seconds = int(spec.get("expirationSeconds") or 3600)
        spec["audiences"] = spec.get("audiences") or [self.issuer]
        spec["expirationSeconds"] = seconds
        spec.setdefault("boundObjectRef", None)
        _check_expiration(seconds)
        metadata = account["metadata"]
        private: Obj = {
            "namespace": metadata["namespace"],
            "serviceaccount": {"name": metadata["name"], "uid": metadata["uid"]},
        }
        bound = spec["boundObjectRef"]
        if bound:
            private[str(bound["kind"]).lower()] = {"name": bound.get("name", ""), "uid": bound.get("uid", "")}
        claims = {
            "aud": spec["audiences"],
            "exp": int(now) + seconds,
            "iat": int(now),
            "iss": self.issuer,
            "jti": str(uuid.uuid4()),
            "kubernetes.io": private,
            "nbf": int(now),
            "sub": f"system:serviceaccount:{metadata['namespace']}:{metadata['name']}",
        }
        expires = format_rfc3339(claims["exp"])
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "creationTimestamp": format_rfc3339(now),
            },
            "spec": spec,
            "status": {"token": self._sign(claims), "expirationTimestamp": expires},
        }

    def verify(self, token: str, now: float | None = None) -> Claims | None:
        """What the token says; None if it is not ours, not for us, or not valid now."""
        now = time.time() if now is None else now
        claims = self._verified.get(token)
        if claims is None:
            claims = self._read(token, now)
            if claims is None:
                return None
            if len(self._verified) >= _MOST_REMEMBERED:
                self._verified.clear()
            self._verified[token] = claims
        if claims.expires <= now:
            del self._verified[token]
            return None
        return claims

    def _read(self, token: str, now: float) -> Claims | None:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

        signed, _, signature_text = token.rpartition(".")
        try:
            header, payload = (json.loads(_unbase64(part)) for part in signed.split("."))
            signature = _unbase64(signature_text)
            if header.get("alg") != "ES256" or len(signature) != 2 * _SIGNATURE_HALF:
                return None
            r, s = (int.from_bytes(half) for half in (signature[:_SIGNATURE_HALF], signature[_SIGNATURE_HALF:]))
            self._key().public_key().verify(encode_dss_signature(r, s), signed.encode(), ec.ECDSA(hashes.SHA256()))
        except (ValueError, AttributeError, InvalidSignature):
            return None
        if payload.get("iss") != self.issuer or self.issuer not in payload.get("aud", ()) or payload["nbf"] > now:
            return None
        private = payload["kubernetes.io"]
        account = private["serviceaccount"]
        bound = next(({"kind": kind, **private[kind]} for kind in ("pod", "secret", "node") if kind in private), None)
        return Claims(private["namespace"], account["name"], account["uid"], float(payload["exp"]), bound)

    def _sign(self, claims: Obj) -> str:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        parts = ({"alg": "ES256", "typ": "JWT"}, claims)
        signed = ".".join(_base64(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
        r, s = decode_dss_signature(self._key().sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(_SIGNATURE_HALF) + s.to_bytes(_SIGNATURE_HALF)
        return f"{signed}.{_base64(signature)}"

    def _key(self) -> ec.EllipticCurvePrivateKey:
        if self._loaded is None:
            from cryptography.hazmat.primitives.asymmetric import ec
            from cryptography.hazmat.primitives.serialization import load_pem_private_key

            key = load_pem_private_key(self._key_file.read_bytes(), password=None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise ValueError(f"{self._key_file} does not hold an elliptic curve key")
            self._loaded = key
        return self._loaded


def _check_expiration(seconds: int) -> None:
    why = ""
    if seconds < _SHORTEST_TOKEN_SECONDS:
        why = "may not specify a duration less than 10 minutes"
    elif seconds > _LONGEST_TOKEN_SECONDS:
        why = "may not specify a duration larger than 2^32 seconds"
    if why:
        cause = invalid_value("spec.expirationSeconds", seconds, why)
        raise StatusError.invalid("TokenRequest.authentication.k8s.io", "", [cause])


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unbase64(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise ValueError(str(error)) from error
