"""Nobody grants what he does not hold: the check on writes of Roles and of their bindings.

Exempt are the cluster's administrators, and who was granted the verbs `escalate` and `bind`.
Models pkg/registry/rbac escalation_check.go, */policybased and validation/{rule,policy_compact}.go (v1.36).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..objects import Obj
from ..store import Store
from .auth import MASTERS, Attributes, User
from .rbac import GROUP, Roles
from .request import RequestContext
from .status import StatusError, go_quote

_EVERYTHING: tuple[Obj, ...] = (
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
    {"nonResourceURLs": ["*"], "verbs": ["*"]},
)
_COLLECTED = ("finalizers", "ownerReferences", "managedFields", "resourceVersion")
_PRINTED = {
    "apiGroups": "APIGroups",
    "resources": "Resources",
    "nonResourceURLs": "NonResourceURLs",
    "resourceNames": "ResourceNames",
    "verbs": "Verbs",
}


class EscalationCheck:
    """Asks, for one resource of roles or bindings (`roles`, `clusterrolebindings`), whether a write may be."""

    def __init__(self, store: Store, plural: str) -> None:
        self._roles = Roles(store)
        self._plural = plural

    def check_role(self, ctx: RequestContext, role: Obj, old: Obj | None) -> None:
        """StatusError 403 unless the user holds all that the role would allow."""
        namespace, name = role["metadata"].get("namespace") or "", role["metadata"].get("name") or ""
        asked = Attributes("escalate", "", GROUP, self._plural, namespace, name if old is not None else "")
        if self._is_exempt(ctx, asked, role, old):
            return
        self._confirm(ctx, namespace, name, role.get("rules") or [])
        # An aggregation can gather anything.
        gathers = _aggregates(role) or (old is not None and _aggregates(old))
        if gathers and self._missing(_user(ctx), namespace, _EVERYTHING):
            why = "must have cluster-admin privileges to use the aggregationRule"
            raise StatusError.forbidden(f"{self._plural}.{GROUP}", name, why)

    def check_binding(self, ctx: RequestContext, binding: Obj, old: Obj | None) -> None:
        """StatusError 403 unless the user holds all that the role allows to which others are to be bound."""
        namespace, reference = binding["metadata"].get("namespace") or "", binding.get("roleRef") or {}
        roles = {"ClusterRole": "clusterroles", "Role": "roles"}.get(reference.get("kind") or "")
        if roles is None:
            return  # validation says so
        name = reference.get("name") or ""
        if self._is_exempt(ctx, Attributes("bind", "", GROUP, roles, namespace, name), binding, old):
            return
        rules = self._roles.rules_of_reference(reference, namespace)
        if rules is None:
            raise StatusError.not_found(f"{roles}.{GROUP}", name)
        self._confirm(ctx, namespace, binding["metadata"].get("name") or "", rules)

    def _is_exempt(self, ctx: RequestContext, asked: Attributes, new: Obj, old: Obj | None) -> bool:
        if MASTERS in ctx.groups or self._roles.allow(_user(ctx), asked):
            return True
        return old is not None and _without_collected(new) == _without_collected(old)

    def _confirm(self, ctx: RequestContext, namespace: str, name: str, rules: Iterable[Obj]) -> None:
        user = _user(ctx)
        missing = self._missing(user, namespace, rules)
        if not missing:
            return
        who = f"user {go_quote(user.name)} (groups={_go_list(user.groups)})"
        what = "\n".join(sorted({_printed(rule) for rule in _compact(missing)}))
        why = f"{who} is attempting to grant RBAC permissions not currently held:\n{what}"
        raise StatusError.forbidden(f"{self._plural}.{GROUP}", name, why)

    def _missing(self, user: User, namespace: str, rules: Iterable[Obj]) -> list[Obj]:
        held = list(self._roles.rules_of(user, namespace))
        return [atom for rule in rules for atom in _atoms(rule) if not any(_covers(own, atom) for own in held)]


def _user(ctx: RequestContext) -> User:
    return User(ctx.user, ctx.groups)


def _aggregates(role: Obj) -> bool:
    return bool((role.get("aggregationRule") or {}).get("clusterRoleSelectors"))


def _without_collected(obj: Obj) -> Obj:
    meta = {field: value for field, value in obj["metadata"].items() if field not in _COLLECTED}
    return {**obj, "metadata": meta}


def _atoms(rule: Obj) -> Iterator[Obj]:
    """The rule in parts of one group, one resource, one verb and at most one name."""
    for group in rule.get("apiGroups") or []:
        for resource in rule.get("resources") or []:
            for verb in rule.get("verbs") or []:
                atom = {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
                yield from [{**atom, "resourceNames": [name]} for name in rule.get("resourceNames") or []] or [atom]
    for url in rule.get("nonResourceURLs") or []:
        for verb in rule.get("verbs") or []:
            yield {"nonResourceURLs": [url], "verbs": [verb]}


def _covers(own: Obj, atom: Obj) -> bool:
    """Models component-helpers auth/rbac/validation ruleCovers."""
    if {"*", atom["verbs"][0]}.isdisjoint(own.get("verbs") or []):
        return False
    if "nonResourceURLs" in atom:
        return any(_covers_path(path, atom["nonResourceURLs"][0]) for path in own.get("nonResourceURLs") or [])
    resource, names = atom["resources"][0], own.get("resourceNames") or []
    _, slash, subresource = resource.partition("/")
    return (
        not {"*", atom["apiGroups"][0]}.isdisjoint(own.get("apiGroups") or [])
        and not {"*", resource, *([f"*/{subresource}"] if slash else [])}.isdisjoint(own.get("resources") or [])
        and (not names or set(atom.get("resourceNames") or [""]) <= set(names))
    )


def _covers_path(own: str, path: str) -> bool:
    return own == path or (own.endswith("*") and path.startswith(own.rstrip("*")))


def _compact(atoms: list[Obj]) -> list[Obj]:
    """Parts that differ in their verb alone, put together again."""
    together: dict[tuple[str, ...], Obj] = {}
    others: list[Obj] = []
    for atom in atoms:
        if "nonResourceURLs" in atom:
            others.append(atom)
            continue
        key = (*atom["apiGroups"], *atom["resources"], *atom.get("resourceNames", []))
        known = together.setdefault(key, {**atom, "verbs": []})
        known["verbs"].append(atom["verbs"][0])
    return [*others, *together.values()]


def _printed(rule: Obj) -> str:
    return (
        "{" + ", ".join(f"{name}:{_go_list(rule[field])}" for field, name in _PRINTED.items() if rule.get(field)) + "}"
    )


def _go_list(texts: Iterable[str]) -> str:
    return "[" + " ".join(go_quote(text) for text in texts) + "]"
