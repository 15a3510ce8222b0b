"""Namespaces: kept from ending by `spec.finalizers` until the namespace controller has emptied them.

Models pkg/registry/core/namespace/strategy.go (v1.36).
"""

from __future__ import annotations

from ..api.status import Cause, invalid_value
from ..objects import Obj
from .metadata import NOT_STANDARD, STANDARD_FINALIZERS
from .naming import label_key_problems, label_problems
from .strategy import Strategy

NAME_LABEL = "kubernetes.io/metadata.name"
FINALIZER = "kubernetes"
SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
"""Those that every cluster has from its start."""

PROTECTED = ("default", "kube-system", "kube-public")
"""Those that can't be deleted."""


class NamespaceStrategy(Strategy):
    """Phase and finalizers are the server's; the name is also a label."""

    def name_problems(self, name: str) -> list[str]:
        """A namespace's name is part of host names."""
        return label_problems(name)

    def default(self, obj: Obj) -> None:
        """Labels the namespace with its name."""
        meta = obj["metadata"]
        if meta.get("name"):
            meta["labels"] = {**(meta.get("labels") or {}), NAME_LABEL: meta["name"]}

    def prepare_for_create(self, obj: Obj) -> None:
        """Active, and with the finalizer that waits for its content."""
        self.default(obj)  # the name may have been generated meanwhile
        finalizers = list((obj.get("spec") or {}).get("finalizers") or [])
        if FINALIZER not in finalizers:
            finalizers.append(FINALIZER)
        obj["spec"] = {"finalizers": finalizers}
        obj["status"] = {"phase": "Active"}

    def prepare_for_update(self, new: Obj, old: Obj) -> None:
        """Finalizers change through the `finalize` subresource alone."""
        super().prepare_for_update(new, old)
        new["spec"] = old.get("spec") or {}

    def validate(self, obj: Obj) -> list[Cause]:
        """Names of finalizers. Models ValidateNamespace."""
        causes: list[Cause] = []
        for name in (obj.get("spec") or {}).get("finalizers") or []:
            problems = label_key_problems(name)
            if "/" not in name and name not in STANDARD_FINALIZERS:
                problems.append(NOT_STANDARD)
            causes += [invalid_value("spec.finalizers", name, problem) for problem in problems]
        return causes

    def validate_status_update(self, new: Obj, old: Obj) -> list[Cause]:
        """The phase follows from the deletion. Models ValidateNamespaceStatusUpdate."""
        phase = (new.get("status") or {}).get("phase") or ""
        if new["metadata"].get("deletionTimestamp"):
            wanted, when = "Terminating", "is not empty"
        else:
            wanted, when = "Active", "is empty"
        if phase == wanted:
            return []
        return [invalid_value("status.Phase", phase, f"may only be '{wanted}' if `deletionTimestamp` {when}")]

    def field_names(self) -> tuple[str, ...]:
        """Beside the name."""
        return ("status.phase", "name")

    def fields(self, obj: Obj) -> dict[str, str]:
        """Their values."""
        return {"status.phase": (obj.get("status") or {}).get("phase") or "", "name": obj["metadata"]["name"]}
