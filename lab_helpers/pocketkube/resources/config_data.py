"""ConfigMaps and Secrets: data that Pods read, and that may be sealed against change.

Models core/validation ValidateConfigMap and ValidateSecret (v1.36).
"""

from __future__ import annotations

import base64

from ..api.body import parse_json
from ..api.status import Cause, forbidden_field, invalid_value, required, too_long
from ..objects import Obj
from .metadata import validate_immutable
from .naming import config_key_problems
from .strategy import Strategy

_LIMIT = 1024 * 1024
_ACCOUNT = "kubernetes.io/service-account.name"
_IMMUTABLE_SET = "field is immutable when `immutable` is set"
_NEEDED_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


class ConfigMapStrategy(Strategy):
    """Plain configuration."""

    def validate(self, obj: Obj) -> list[Cause]:
        """Keys, and the size of all together."""
        data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
        causes: list[Cause] = []
        for key in sorted(data):
            causes += [invalid_value(f"data[{key}]", key, problem) for problem in config_key_problems(key)]
            if key in binary:
                causes.append(invalid_value(f"data[{key}]", key, "duplicate of key present in binaryData"))
        for key in sorted(binary):
            causes += [invalid_value(f"binaryData[{key}]", key, problem) for problem in config_key_problems(key)]
        size = sum(len(value.encode()) for value in data.values())
        size += sum(len(base64.b64decode(value)) for value in binary.values())
        return [*causes, too_long("[]", _LIMIT)] if size > _LIMIT else causes

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """A sealed object stays as it is."""
        return _sealed_causes(new, old, ("data", "binaryData")) + self.validate(new)


class SecretStrategy(Strategy):
    """Configuration that is not for everybody's eyes."""

    def default(self, obj: Obj) -> None:
        """Opaque by default; plain text is taken into the encoded data."""
        obj.setdefault("type", "Opaque")
        plain = obj.pop("stringData", None)
        if plain:
            encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
            obj["data"] = {**(obj.get("data") or {}), **encoded}

    def validate(self, obj: Obj) -> list[Cause]:
        """Keys, size, and the keys that a type stands for."""
        data = obj.get("data") or {}
        causes: list[Cause] = []
        for key in sorted(data):
            causes += [invalid_value(f"data[{key}]", key, problem) for problem in config_key_problems(key)]
        if sum(len(base64.b64decode(value)) for value in data.values()) > _LIMIT:
            causes.append(too_long("data", _LIMIT))
        missing = [key for key in _NEEDED_KEYS.get(obj["type"], ()) if key not in data]
        causes += [required(f"data[{key}]") for key in missing]
        causes += _validate_docker(obj["type"], data) + _validate_account(obj)
        if obj["type"] == "kubernetes.io/basic-auth" and not {"username", "password"} & set(data):
            causes += [required(f"data[{key}]") for key in ("username", "password")]
        return causes

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The type is for life; a sealed object stays as it is."""
        causes = validate_immutable(new["type"], old["type"], "type")
        return causes + _sealed_causes(new, old, ("data",)) + self.validate(new)

    def field_names(self) -> tuple[str, ...]:
        """Beside name and namespace."""
        return ("type",)

    def fields(self, obj: Obj) -> dict[str, str]:
        """Their values."""
        return {"type": obj.get("type") or ""}


def _validate_docker(kind: str, data: Obj) -> list[Cause]:
    """Credentials of a registry are JSON."""
    causes: list[Cause] = []
    for key in _NEEDED_KEYS.get(kind, ()):
        if key.startswith(".docker") and key in data:
            try:
                parse_json(base64.b64decode(data[key]))
            except ValueError as error:
                causes.append(invalid_value(f"data[{key}]", "<secret contents redacted>", str(error)))
    return causes


def _validate_account(obj: Obj) -> list[Cause]:
    """A token names its account."""
    annotations = obj["metadata"].get("annotations") or {}
    if obj["type"] != "kubernetes.io/service-account-token" or annotations.get(_ACCOUNT):
        return []
    return [required(f"metadata.annotations[{_ACCOUNT}]")]


def _sealed_causes(new: Obj, old: Obj, fields: tuple[str, ...]) -> list[Cause]:
    if not old.get("immutable"):
        return []
    causes: list[Cause] = []
    if not new.get("immutable"):
        causes.append(forbidden_field("immutable", _IMMUTABLE_SET))
    for field in fields:
        if (new.get(field) or {}) != (old.get(field) or {}):
            causes.append(forbidden_field(field, _IMMUTABLE_SET))
    return causes
