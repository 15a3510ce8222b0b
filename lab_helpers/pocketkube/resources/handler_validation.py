"""What is allowed in probes and in the hooks of a container's life.

Models core/validation validateLifecycle, validateProbe and validateHandler (v1.36).
"""

from __future__ import annotations

from typing import Any

from ..api.status import Cause, forbidden_field, invalid_value, not_supported, required
from ..objects import Obj
from .causes import invalid_each, not_negative
from .naming import header_name_problems, port_number_problems
from .service_validation import validate_port_or_name

PROBES = ("livenessProbe", "readinessProbe", "startupProbe")

_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOK_HANDLERS = ("exec", "httpGet", "tcpSocket", "sleep")
_NUMBERS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")


def validate_life(container: Obj, grace: int | None, path: str) -> list[Cause]:
    """Hooks and probes."""
    causes: list[Cause] = []
    for hook in ("postStart", "preStop"):
        handler = (container.get("lifecycle") or {}).get(hook)
        if handler is not None:
            causes += _validate_handler(handler, _HOOK_HANDLERS, grace, f"{path}.lifecycle.{hook}")
    for probe in PROBES:
        if container.get(probe) is not None:
            causes += _validate_probe(container[probe], probe, f"{path}.{probe}")
    return causes


def _validate_probe(probe: Obj, kind: str, path: str) -> list[Cause]:
    causes = _validate_handler(probe, _HANDLERS, None, path)
    for field in _NUMBERS:
        causes += not_negative(probe.get(field), f"{path}.{field}")
    grace, where = probe.get("terminationGracePeriodSeconds"), f"{path}.terminationGracePeriodSeconds"
    if grace is not None and grace <= 0:
        causes.append(invalid_value(where, grace, "must be greater than 0"))
    if grace is not None and kind == "readinessProbe":
        causes.append(invalid_value(where, grace, "must not be set for readinessProbes"))
    if kind != "readinessProbe" and probe["successThreshold"] != 1:
        causes.append(invalid_value(f"{path}.successThreshold", probe["successThreshold"], "must be 1"))
    return causes


def _validate_handler(handler: Obj, kinds: tuple[str, ...], grace: int | None, path: str) -> list[Cause]:
    causes: list[Cause] = []
    given = [kind for kind in kinds if handler.get(kind) is not None]
    if not given:
        return [required(path, "must specify a handler type")]
    for number, kind in enumerate(given):
        where = f"{path}.{kind}"
        if number:
            causes.append(forbidden_field(where, "may not specify more than 1 handler type"))
        else:
            causes += _validate_action(kind, handler[kind], grace, where)
    return causes


def _validate_action(kind: str, action: Any, grace: int | None, path: str) -> list[Cause]:
    if kind == "exec":
        return [] if action.get("command") else [required(f"{path}.command")]
    if kind == "grpc":
        return invalid_each(f"{path}.port", action.get("port", 0), port_number_problems(action.get("port", 0)))
    if kind == "sleep":
        return _validate_sleep(action, grace, path)
    causes: list[Cause] = []
    if kind == "httpGet" and not action.get("path"):
        causes.append(required(f"{path}.path"))
    causes += validate_port_or_name(action.get("port", 0), f"{path}.port")
    if kind != "httpGet":
        return causes
    if action.get("scheme") not in ("HTTP", "HTTPS"):
        causes.append(not_supported(f"{path}.scheme", action.get("scheme"), ["HTTP", "HTTPS"]))
    for header in action.get("httpHeaders") or []:
        name = header.get("name") or ""
        causes += invalid_each(f"{path}.httpHeaders", name, header_name_problems(name))
    return causes


def _validate_sleep(action: Obj, grace: int | None, path: str) -> list[Cause]:
    seconds = action.get("seconds") or 0
    if grace is None or 0 <= seconds <= grace:
        return []
    why = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
    return [invalid_value(path, seconds, why)]
