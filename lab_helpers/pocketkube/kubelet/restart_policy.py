"""Whether a container is to be started again after it has ended. When, is left to the back-off of `pod_containers.py`.

Models pkg/kubelet/container/helpers.go ShouldContainerBeRestarted (v1.36).
"""

from __future__ import annotations

from ..objects import Obj
from .container_record import ContainerRecord


def should_run(record: ContainerRecord, container: Obj, pod: Obj) -> bool:
    """True if a container that does not run now is to be started. A container's own policy goes before the Pod's."""
    ended = record.ended
    if ended is None or record.kind == "sidecar":
        return True
    if record.kind == "ephemeral":
        return False
    exit_code = ended["exitCode"]
    policy = container.get("restartPolicy") or pod["spec"].get("restartPolicy") or "Always"
    if record.kind == "init":
        # One that has succeeded is only asked about in a new sandbox, where all of them run again.
        return exit_code == 0 or policy != "Never"
    if policy == "Always" or (policy == "OnFailure" and exit_code != 0):
        return True
    return any(_applies(rule, exit_code) for rule in container.get("restartPolicyRules") or [])


def _applies(rule: Obj, exit_code: int) -> bool:
    codes = rule.get("exitCodes") or {}
    listed = exit_code in (codes.get("values") or [])
    return rule.get("action") == "Restart" and listed == (codes.get("operator") == "In")
