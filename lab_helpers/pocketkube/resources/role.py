"""Roles and their bindings: who may do what. Deciding by them is left to `api/rbac`.

Models pkg/apis/rbac/{v1/defaults.go,validation} (v1.36).
"""

from __future__ import annotations

from collections.abc import Iterable

from ..api.escalation import EscalationCheck
from ..api.request import RequestContext
from ..api.status import Cause, invalid_value, not_supported, required
from ..objects import Obj
from .causes import invalid_each
from .label_selector import validate_label_selector
from .naming import path_segment_problems, subdomain_problems
from .strategy import Strategy

GROUP = "rbac.authorization.k8s.io"

_DEFAULTS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_READ = ("get", "list", "watch")
_WRITE = ("create", "delete", "deletecollection", "patch", "update")
_SEEN = {
    "": (
        "configmaps", "endpoints", "events", "limitranges", "namespaces", "pods", "pods/log", "pods/status",
        "replicationcontrollers", "replicationcontrollers/scale", "resourcequotas", "serviceaccounts", "services",
    ),
    "apps": (
        "controllerrevisions", "daemonsets", "deployments", "deployments/scale", "replicasets", "replicasets/scale",
        "statefulsets", "statefulsets/scale",
    ),
    "batch": ("cronjobs", "jobs"),
    "discovery.k8s.io": ("endpointslices",),
    "networking.k8s.io": ("ingresses", "networkpolicies"),
    "policy": ("poddisruptionbudgets",),
}  # fmt: skip
"""What `view` may read, by group: no Secrets, which could be used to become somebody else."""
_NOT_WRITTEN = ("namespaces", "resourcequotas", "limitranges", "pods/log", "pods/status", "controllerrevisions")
_ENTERED = ("pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "services/proxy")


class RoleStrategy(Strategy):
    """Roles and ClusterRoles."""

    creates_on_update = True

    def __init__(self, check: EscalationCheck, *, namespaced: bool) -> None:
        self._check = check
        self._namespaced = namespaced

    def authorize_write(self, ctx: RequestContext, new: Obj, old: Obj | None) -> None:
        """See `api/escalation`."""
        self._check.check_role(ctx, new, old)

    def name_problems(self, name: str) -> list[str]:
        """Anything that fits into a path: `system:node` too."""
        return path_segment_problems(name)

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidatePolicyRule."""
        causes: list[Cause] = []
        for index, rule in enumerate(obj.get("rules") or []):
            causes += self._validate_rule(rule, f"rules[{index}]")
        gathered = obj.get("aggregationRule")
        return causes if gathered is None else causes + _validate_gathering(gathered, "aggregationRule")

    def _validate_rule(self, rule: Obj, path: str) -> list[Cause]:
        causes: list[Cause] = []
        if not rule.get("verbs"):
            causes.append(required(f"{path}.verbs", "verbs must contain at least one value"))
        urls = rule.get("nonResourceURLs") or []
        if urls and self._namespaced:
            why = "namespaced rules cannot apply to non-resource URLs"
            causes.append(invalid_value(f"{path}.nonResourceURLs", urls, why))
        if urls:
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                why = "rules cannot apply to both regular resources and non-resource URLs"
                causes.append(invalid_value(f"{path}.nonResourceURLs", urls, why))
            return causes
        if not rule.get("apiGroups"):
            causes.append(required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
        if not rule.get("resources"):
            causes.append(required(f"{path}.resources", "resource rules must supply at least one resource"))
        return causes


class RoleBindingStrategy(Strategy):
    """RoleBindings and ClusterRoleBindings."""

    creates_on_update = True

    def __init__(self, check: EscalationCheck, *, namespaced: bool) -> None:
        self._check = check
        self._namespaced = namespaced

    def authorize_write(self, ctx: RequestContext, new: Obj, old: Obj | None) -> None:
        """See `api/escalation`."""
        self._check.check_binding(ctx, new, old)

    def name_problems(self, name: str) -> list[str]:
        """Anything that fits into a path."""
        return path_segment_problems(name)

    def default(self, obj: Obj) -> None:
        """Models SetDefaults_RoleBinding and SetDefaults_Subject."""
        role = obj.setdefault("roleRef", {})
        if not role.get("apiGroup"):
            role["apiGroup"] = GROUP
        for subject in obj.get("subjects") or []:
            if subject.get("kind") in ("User", "Group") and not subject.get("apiGroup"):
                subject["apiGroup"] = GROUP

    def validate(self, obj: Obj) -> list[Cause]:
        """Models ValidateRoleBinding."""
        role = obj["roleRef"]
        causes: list[Cause] = []
        if role["apiGroup"] != GROUP:
            causes.append(not_supported("roleRef.apiGroup", role["apiGroup"], [GROUP]))
        kinds = ["Role", "ClusterRole"] if self._namespaced else ["ClusterRole"]
        if role.get("kind") not in kinds:
            causes.append(not_supported("roleRef.kind", role.get("kind") or "", kinds))
        if not role.get("name"):
            causes.append(required("roleRef.name"))
        for index, subject in enumerate(obj.get("subjects") or []):
            causes += self._validate_subject(subject, f"subjects[{index}]")
        return causes

    def validate_update(self, new: Obj, old: Obj) -> list[Cause]:
        """Another role is another binding."""
        if new.get("roleRef") == old.get("roleRef"):
            return self.validate(new)
        role = new["roleRef"]
        shown = {"APIGroup": role["apiGroup"], "Kind": role.get("kind") or "", "Name": role.get("name") or ""}
        return [*self.validate(new), invalid_value("roleRef", shown, "cannot change roleRef")]

    def _validate_subject(self, subject: Obj, path: str) -> list[Cause]:
        causes = [] if subject.get("name") else [required(f"{path}.name")]
        kind = subject.get("kind") or ""
        if kind == "ServiceAccount":
            name = subject.get("name") or ""
            causes += invalid_each(f"{path}.name", name, subdomain_problems(name)) if name else []
            if subject.get("apiGroup"):
                causes.append(not_supported(f"{path}.apiGroup", subject["apiGroup"], [""]))
            if not subject.get("namespace") and not self._namespaced:
                causes.append(required(f"{path}.namespace"))
        elif kind in ("User", "Group"):
            if subject.get("apiGroup") != GROUP:
                causes.append(not_supported(f"{path}.apiGroup", subject.get("apiGroup") or "", [GROUP]))
        else:
            causes.append(not_supported(f"{path}.kind", kind, ["ServiceAccount", "User", "Group"]))
        return causes


def _validate_gathering(rule: Obj, path: str) -> list[Cause]:
    """Which other ClusterRoles a ClusterRole is made of."""
    path, selectors = f"{path}.clusterRoleSelectors", rule.get("clusterRoleSelectors") or []
    if not selectors:
        return [required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil")]
    causes: list[Cause] = []
    for index, selector in enumerate(selectors):
        malformed = validate_label_selector(selector, f"{path}[{index}]")
        causes += malformed
        if malformed:
            causes.append(invalid_value(f"{path}[{index}]", None, "invalid label selector."))
    return causes


def _rule(group: str, resources: Iterable[str], verbs: Iterable[str]) -> Obj:
    return {"apiGroups": [group], "resources": [*resources], "verbs": [*verbs]}


def default_roles() -> list[Obj]:
    """The ClusterRoles that people bind without having made them. Models bootstrappolicy (v1.36), in short.

    Each of the three that people know is made of a part of its own and of the smaller one.
    """
    everything = _rule("*", "*", "*"), {"nonResourceURLs": ["*"], "verbs": ["*"]}
    view = [_rule(group, resources, _READ) for group, resources in _SEEN.items()]
    edit = [
        *(
            _rule(group, [name for name in resources if name not in _NOT_WRITTEN], _WRITE)
            for group, resources in _SEEN.items()
        ),
        _rule("", ["secrets"], (*_READ, *_WRITE)),
        _rule("", _ENTERED, (*_READ, *_WRITE)),
        _rule("", ["pods/eviction", "serviceaccounts/token"], ["create"]),
    ]
    admin = [_rule(GROUP, ["rolebindings", "roles"], (*_READ, *_WRITE))]
    return [
        _cluster_role("cluster-admin", [*everything]),
        _cluster_role("admin", [*edit, *view, *admin], gathers="admin"),
        _cluster_role("edit", [*edit, *view], gathers="edit", part_of="admin"),
        _cluster_role("view", view, gathers="view", part_of="edit"),
        _cluster_role("system:aggregate-to-admin", admin, part_of="admin"),
        _cluster_role("system:aggregate-to-edit", edit, part_of="edit"),
        _cluster_role("system:aggregate-to-view", view, part_of="view"),
    ]


def default_binding() -> Obj:
    """Administrators may do everything, as everybody can see."""
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "cluster-admin", "labels": dict(_DEFAULTS)},
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": GROUP, "kind": "Group", "name": "system:masters"}],
    }


def _cluster_role(name: str, rules: list[Obj], *, gathers: str = "", part_of: str = "") -> Obj:
    labels = {**_DEFAULTS, **({f"{GROUP}/aggregate-to-{part_of}": "true"} if part_of else {})}
    role = {
        "apiVersion": f"{GROUP}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name, "labels": labels},
        "rules": rules,
    }
    if gathers:
        selector = {"matchLabels": {f"{GROUP}/aggregate-to-{gathers}": "true"}}
        role["aggregationRule"] = {"clusterRoleSelectors": [selector]}
    return role
