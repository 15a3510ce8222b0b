"""Errors of the Kubernetes API: what is wrong with a field, and the `Status` object that a failed request answers with.

Texts, reasons and codes are upstream's, because kubectl and client libraries act on them.
Finding what is wrong is left to the strategies of `resources/` and to the operations.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from ..objects import Obj

RESOURCE_EXPIRED = "Expired"
MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"

CauseType = Literal[
    "FieldValueRequired",
    "FieldValueInvalid",
    "FieldValueNotSupported",
    "FieldValueDuplicate",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueForbidden",
    "FieldValueNotFound",
    "FieldValueTypeInvalid",
    "InternalError",
    "FieldManagerConflict",
    "UnexpectedServerResponse",
    "DisruptionBudget",
    "ResourceVersionTooLarge",
]

_HEADLINES: dict[str, str] = {
    "FieldValueRequired": "Required value",
    "FieldValueInvalid": "Invalid value",
    "FieldValueNotSupported": "Unsupported value",
    "FieldValueDuplicate": "Duplicate value",
    "FieldValueTooLong": "Too long",
    "FieldValueTooMany": "Too many",
    "FieldValueForbidden": "Forbidden",
    "FieldValueNotFound": "Not found",
    "FieldValueTypeInvalid": "Invalid value",
    "InternalError": "Internal error",
}


_ESCAPES = {
    '"': r"\"", "\\": r"\\", "\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v",
}  # fmt: skip


def go_quote(text: str) -> str:
    """A string as Go's %q prints it."""
    if text.isprintable():
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    else:
        escaped = "".join(_quoted(character) for character in text)
    return f'"{escaped}"'


def _quoted(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def go_json(value: Any) -> str:
    """A value as Go's encoder writes it."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


class Verbatim(str):
    """A bad value that is printed as it is: a nil map shows as a bare `null`."""


NIL_MAP = Verbatim("null")


def go_value(value: Any) -> str:
    """A bad value as upstream prints it: strings quoted, numbers bare, everything else as Go's compact JSON."""
    if value is None:
        return "null"
    if isinstance(value, Verbatim):
        return value
    if isinstance(value, str):
        return go_quote(value)
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    return go_json(value)


@dataclass(frozen=True)
class Cause:
    """What is wrong with one field. Models apimachinery pkg/util/validation/field/errors.go (v1.36)."""

    reason: CauseType
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"

    def to_json(self) -> Obj:
        """The entry of `status.details.causes`."""
        entry = {"reason": self.reason, "message": self.message}
        return {**entry, "field": self.field} if self.field else entry


def _cause(reason: CauseType, field: str, value: str, detail: str) -> Cause:
    parts = [_HEADLINES[reason], *([value] if value else []), *([detail] if detail else [])]
    return Cause(reason, field, ": ".join(parts))


def required(field: str, detail: str = "") -> Cause:
    """A field that must be set is not."""
    return _cause("FieldValueRequired", field, "", detail)


def invalid_value(field: str, value: Any, detail: str = "") -> Cause:
    """A value of the right type that is not allowed."""
    return _cause("FieldValueInvalid", field, go_value(value), detail)


def not_supported(field: str, value: Any, supported: Iterable[str]) -> Cause:
    """A value outside of an enumeration."""
    detail = "supported values: " + ", ".join(go_quote(item) for item in supported)
    return _cause("FieldValueNotSupported", field, go_value(value), detail)


def duplicate(field: str, value: Any) -> Cause:
    """A value that must be unique was given twice."""
    return _cause("FieldValueDuplicate", field, go_value(value), "")


def forbidden_field(field: str, detail: str) -> Cause:
    """A field that must not be set, or not be changed."""
    return _cause("FieldValueForbidden", field, "", detail)


def too_long(field: str, limit: int) -> Cause:
    """A text of more bytes than allowed."""
    return _cause("FieldValueTooLong", field, "", f"may not be more than {limit} bytes")


def too_many(field: str, count: int, limit: int) -> Cause:
    """A list of more items than allowed."""
    return _cause("FieldValueTooMany", field, str(count), f"must have at most {limit} items")


def missing_reference(field: str, value: Any) -> Cause:
    """A value that names something which does not exist."""
    return _cause("FieldValueNotFound", field, go_value(value), "")


def _split_group(qualified: str) -> tuple[str, str]:
    """`deployments.apps` -> (`deployments`, `apps`)."""
    name, _, group = qualified.partition(".")
    return name, group


def _details(qualified: str, name: str, **more: Any) -> Obj:
    kind, group = _split_group(qualified)
    details: Obj = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if kind:
        details["kind"] = kind
    return {**details, **more}


class StatusError(Exception):
    """A request that failed, as the metav1.Status object that answers it."""

    def __init__(self, code: int, reason: str, message: str, details: Obj | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.list_meta: Obj = {}
        self.warnings: tuple[str, ...] = ()
        self.retry_after_seconds: int | None = (details or {}).get("retryAfterSeconds")

    @property
    def status(self) -> Obj:
        """The metav1.Status, in upstream's order of fields."""
        status: Obj = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.list_meta,
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.code
        return status

    @classmethod
    def from_body(cls, code: int, body: Any) -> StatusError:
        """What a client makes of a failed answer: a Status if there is one, else the bare text."""
        if isinstance(body, dict) and body.get("kind") == "Status":
            return cls(
                int(body.get("code") or code),
                str(body.get("reason") or ""),
                str(body.get("message") or ""),
                body.get("details"),
            )
        return cls(code, "Unknown", str(body))

    # The constructors model apimachinery pkg/api/errors/errors.go (v1.36). `resource` and `kind` are qualified
    # by their group: `deployments.apps`, `Deployment.apps`.

    @classmethod
    def not_found(cls, resource: str, name: str) -> StatusError:
        """No such object."""
        return cls(404, "NotFound", f"{resource} {go_quote(name)} not found", _details(resource, name))

    @classmethod
    def no_such_path(cls) -> StatusError:
        """No such resource or path."""
        return cls(404, "NotFound", "the server could not find the requested resource", {})

    @classmethod
    def already_exists(cls, resource: str, name: str) -> StatusError:
        """An object of that name is there."""
        return cls(409, "AlreadyExists", f"{resource} {go_quote(name)} already exists", _details(resource, name))

    @classmethod
    def generate_name_conflict(cls, resource: str, name: str) -> StatusError:
        """Every generated name was taken."""
        why = "already exists, the server was not able to generate a unique name for the object"
        message = f"{resource} {go_quote(name)} {why}"
        return cls(409, "AlreadyExists", message, _details(resource, name, retryAfterSeconds=1))

    @classmethod
    def conflict(cls, resource: str, name: str, why: str = MODIFIED) -> StatusError:
        """Optimistic locking, or a state that does not allow the operation."""
        message = f"Operation cannot be fulfilled on {resource} {go_quote(name)}: {why}"
        return cls(409, "Conflict", message, _details(resource, name))

    @classmethod
    def apply_conflict(cls, message: str, causes: Iterable[Cause]) -> StatusError:
        """Server-side apply met fields that others own."""
        return cls(409, "Conflict", message, {"causes": [cause.to_json() for cause in causes]})

    @classmethod
    def invalid(cls, kind: str, name: str, causes: Iterable[Cause]) -> StatusError:
        """The object does not validate."""
        listed = list(causes)
        texts = list(dict.fromkeys(str(cause) for cause in listed))
        said = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        message = f"{kind} {go_quote(name)} is invalid" + (f": {said}" if texts else "")
        return cls(422, "Invalid", message, _details(kind, name, causes=[cause.to_json() for cause in listed]))

    @classmethod
    def rejected(cls) -> StatusError:
        """A JSON patch that can't be applied."""
        return cls(422, "Invalid", "the server rejected our request due to an error in our request", {})

    @classmethod
    def bad_request(cls, message: str) -> StatusError:
        """The request can't be understood."""
        return cls(400, "BadRequest", message)

    @classmethod
    def unauthorized(cls) -> StatusError:
        """Nobody vouches for the caller."""
        return cls(401, "Unauthorized", "Unauthorized")

    @classmethod
    def forbidden(cls, resource: str, name: str, why: str) -> StatusError:
        """The caller, or the state of the cluster, does not allow it."""
        subject = f"{resource} {go_quote(name)}" if name else resource
        message = f"{subject} is forbidden: {why}" if resource else f"forbidden: {why}"
        return cls(403, "Forbidden", message, _details(resource, name))

    @classmethod
    def method_not_allowed(cls, message: str = "") -> StatusError:
        """The resource exists, the verb does not."""
        message = message or "the server does not allow this method on the requested resource"
        return cls(405, "MethodNotAllowed", message, {})

    @classmethod
    def not_acceptable(cls, supported: Iterable[str]) -> StatusError:
        """No representation that the client accepts."""
        message = f"406: Not Acceptable\n\nAvailable representations: {', '.join(supported)}"
        return cls(406, "NotAcceptable", message, {})

    @classmethod
    def unsupported_media_type(cls, message: str) -> StatusError:
        """A body in a form that isn't read."""
        return cls(415, "UnsupportedMediaType", message)

    @classmethod
    def unsupported_patch(cls) -> StatusError:
        """A patch of no type that there is."""
        return cls(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})

    @classmethod
    def gone_expired(cls, message: str) -> StatusError:
        """The resourceVersion is older than history reaches."""
        return cls(410, RESOURCE_EXPIRED, message)

    @classmethod
    def too_large_resource_version(cls, asked: int, current: int, retry_seconds: int = 1) -> StatusError:
        """The resourceVersion lies in the future."""
        causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
        message = f"Timeout: Too large resource version: {asked}, current: {current}"
        return cls(504, "Timeout", message, {"causes": causes, "retryAfterSeconds": retry_seconds})

    @classmethod
    def too_many_requests(cls, message: str, retry_after_seconds: int, causes: Iterable[Cause] = ()) -> StatusError:
        """Try again later: an eviction that a budget does not allow."""
        details: Obj = {}
        listed = [cause.to_json() for cause in causes]
        if listed:
            details["causes"] = listed
        if retry_after_seconds:
            details["retryAfterSeconds"] = retry_after_seconds
        return cls(429, "TooManyRequests", message, details)

    @classmethod
    def request_too_large(cls, message: str) -> StatusError:
        """A body over the limit."""
        return cls(413, "RequestEntityTooLarge", message)

    @classmethod
    def service_unavailable(cls, message: str) -> StatusError:
        """A part that is needed does not answer."""
        return cls(503, "ServiceUnavailable", message)

    @classmethod
    def internal(cls, message: str) -> StatusError:
        """A fault of the server."""
        causes = [{"message": message}]
        return cls(500, "InternalError", f"Internal error occurred: {message}", {"causes": causes})

    @classmethod
    def unclassified(cls, message: str) -> StatusError:
        """An error upstream passes on without a reason: code 500 and the bare text."""
        return cls(500, "", message)


@contextlib.contextmanager
def ignoring_not_found() -> Iterator[None]:
    """Lets a 404 pass, and nothing else: what was to be changed or deleted is gone already."""
    try:
        yield
    except StatusError as error:
        if error.code != 404:
            raise


def success(resource: str, name: str, uid: str) -> Obj:
    """The Status that answers a delete after which the object is gone."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": _details(resource, name, uid=uid),
    }
