"""Service account tokens: JWTs, signed with ES256, bound to an audience, to a time and often to a Pod.

Whether the account and the Pod of a token are still there is left to `authentication.py`.
Models pkg/serviceaccount, claims.go, jwt.go and openidmetadata.go (v1.36).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..clock import format_rfc3339
from ..objects import Obj
from .status import StatusError, invalid_value

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

ALGORITHM = "ES256"
KEYS_PATH = "/openid/v1/jwks"
BOUND_KINDS = ("pod", "secret", "node")
_SIGNATURE_HALF = 32
_ISSUER_FOR_GOOD = "kubernetes/serviceaccount"
_CLAIM_FOR_GOOD = "kubernetes.io/serviceaccount/"
_PRIVATE_FOR_GOOD = ("namespace", "secret.name", "service-account.name", "service-account.uid")
_MOST_REMEMBERED = 1000
_USUAL_TOKEN_SECONDS = 3600
_SHORTEST_TOKEN_SECONDS = 600
_LONGEST_TOKEN_SECONDS = 2**32


@dataclass(frozen=True)
class Claims:
    """What a token that holds says: whose it is, until when and for whom, and which object it is bound to."""

    namespace: str
    service_account: str
    service_account_uid: str
    expires: float
    bound: Obj | None = None
    """Its `kind` in small letters, `name` and `uid`; of a token that holds for good, the Secret without a uid."""
    node: Obj | None = None
    """The node of the Pod that it is bound to: `name` and, where it is known, `uid`."""
    audiences: tuple[str, ...] = ()
    id: str = ""


class TokenAuthority:
    """Signs and verifies tokens."""

    def __init__(self, key_file: Path, issuer: str) -> None:
        self._key_file = key_file
        self._loaded: ec.EllipticCurvePrivateKey | None = None
        self._key_name = ""
        self._verified: dict[str, Claims] = {}
        self.issuer = issuer

    def issue(self, account: Obj, request: Obj, now: float | None = None, *, node: Obj | None = None) -> Obj:
        """Answers a TokenRequest for a ServiceAccount. `node` is that of the Pod that the token is bound to."""
        now = time.time() if now is None else now
        spec = dict(request.get("spec") or {})
        seconds = check_expiration(spec)
        spec["audiences"] = spec.get("audiences") or [self.issuer]
        spec["expirationSeconds"] = seconds
        spec.setdefault("boundObjectRef", None)
        metadata = account["metadata"]
        private: Obj = {"namespace": metadata["namespace"]}
        if node is not None:
            private["node"] = node
        bound = spec["boundObjectRef"]
        if bound:
            private[str(bound["kind"]).lower()] = {"name": bound.get("name", ""), "uid": bound.get("uid", "")}
        private["serviceaccount"] = {"name": metadata["name"], "uid": metadata["uid"]}
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
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "creationTimestamp": format_rfc3339(now),
            },
            "spec": spec,
            "status": {"token": self._sign(claims), "expirationTimestamp": format_rfc3339(claims["exp"])},
        }

    def issue_for_good(self, account: Obj, secret: str) -> str:
        """The token of a Secret, which holds as long as that does. Models pkg/serviceaccount/legacy.go."""
        metadata = account["metadata"]
        private = {
            "namespace": metadata["namespace"],
            "secret.name": secret,
            "service-account.name": metadata["name"],
            "service-account.uid": metadata["uid"],
        }
        claims: Obj = {"iss": _ISSUER_FOR_GOOD}
        claims |= {f"{_CLAIM_FOR_GOOD}{name}": value for name, value in private.items()}
        claims["sub"] = f"system:serviceaccount:{metadata['namespace']}:{metadata['name']}"
        return self._sign(claims)

    def verify(self, token: str, now: float | None = None, audiences: Sequence[str] = ()) -> Claims | None:
        """What the token says; None if it is not ours, not valid now, or for none of the audiences (at first: us)."""
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
        return claims if {*claims.audiences} & {*(audiences or (self.issuer,))} else None

    def configuration(self, address: str) -> Obj:
        """The OpenID Connect discovery document. `address` is where the server is reached."""
        return {
            "issuer": self.issuer,
            "jwks_uri": f"https://{address}{KEYS_PATH}",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
        }

    def keys(self) -> Obj:
        """The JSON Web Key Set that everybody can verify our tokens with."""
        numbers = self._key().public_key().public_numbers()
        x, y = (_base64(number.to_bytes(_SIGNATURE_HALF, "big")) for number in (numbers.x, numbers.y))
        key = {"use": "sig", "kty": "EC", "kid": self._key_name, "crv": "P-256", "alg": ALGORITHM, "x": x, "y": y}
        return {"keys": [key]}

    def _read(self, token: str, now: float) -> Claims | None:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

        signed, _, signature_text = token.rpartition(".")
        try:
            header, payload = (json.loads(_unbase64(part)) for part in signed.split("."))
            signature = _unbase64(signature_text)
            if header.get("alg") != ALGORITHM or len(signature) != 2 * _SIGNATURE_HALF:
                return None
            r, s = (int.from_bytes(half) for half in (signature[:_SIGNATURE_HALF], signature[_SIGNATURE_HALF:]))
            self._key().public_key().verify(encode_dss_signature(r, s), signed.encode(), ec.ECDSA(hashes.SHA256()))
        except (ValueError, AttributeError, InvalidSignature):
            return None
        if payload.get("iss") == _ISSUER_FOR_GOOD:
            return self._claims_for_good(payload)
        if payload.get("iss") != self.issuer or payload["nbf"] > now:
            return None
        private = payload["kubernetes.io"]
        account = private["serviceaccount"]
        return Claims(
            private["namespace"],
            account["name"],
            account["uid"],
            float(payload["exp"]),
            next(({"kind": kind, **private[kind]} for kind in BOUND_KINDS if kind in private), None),
            private.get("node") if "pod" in private else None,
            tuple(payload.get("aud", ())),
            payload.get("jti", ""),
        )

    def _claims_for_good(self, payload: Obj) -> Claims:
        private = {name: str(payload.get(f"{_CLAIM_FOR_GOOD}{name}") or "") for name in _PRIVATE_FOR_GOOD}
        return Claims(
            private["namespace"],
            private["service-account.name"],
            private["service-account.uid"],
            math.inf,
            {"kind": "secret", "name": private["secret.name"]},
            audiences=(self.issuer,),
        )

    def _sign(self, claims: Obj) -> str:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        key = self._key()
        parts = ({"alg": ALGORITHM, "kid": self._key_name}, claims)
        signed = ".".join(_base64(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
        r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(_SIGNATURE_HALF) + s.to_bytes(_SIGNATURE_HALF)
        return f"{signed}.{_base64(signature)}"

    def _key(self) -> ec.EllipticCurvePrivateKey:
        if self._loaded is None:
            from cryptography.hazmat.primitives.asymmetric import ec
            from cryptography.hazmat.primitives.serialization import (
                Encoding,
                PublicFormat,
                load_pem_private_key,
            )

            key = load_pem_private_key(self._key_file.read_bytes(), password=None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise ValueError(f"{self._key_file} does not hold an elliptic curve key")
            public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            self._key_name = _base64(hashlib.sha256(public).digest())
            self._loaded = key
        return self._loaded


def check_expiration(spec: Obj) -> int:
    """How long a token shall last, in seconds; StatusError 422 for too short or too long a time."""
    seconds, why = int(spec.get("expirationSeconds") or _USUAL_TOKEN_SECONDS), ""
    if seconds < _SHORTEST_TOKEN_SECONDS:
        why = "may not specify a duration less than 10 minutes"
    elif seconds > _LONGEST_TOKEN_SECONDS:
        why = "may not specify a duration larger than 2^32 seconds"
    if why:
        cause = invalid_value("spec.expirationSeconds", seconds, why)
        raise StatusError.invalid("TokenRequest.authentication.k8s.io", "", [cause])
    return seconds


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unbase64(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise ValueError(str(error)) from error
