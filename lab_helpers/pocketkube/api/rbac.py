"""What Roles and their bindings allow, beyond the fixed policy of `auth`.

A ClusterRoleBinding grants its role everywhere, a RoleBinding in its own namespace; rules only ever add.
Models plugin/pkg/auth/authorizer/rbac and pkg/registry/rbac/validation (v1.36).
"""

from __future__ import annotations

from collections.abc import Iterator

from ..objects import Obj
from ..store import Store
from .auth import Attributes, User
from .status import go_quote

GROUP = "rbac.authorization.k8s.io"


class Roles:
    """Reads the roles in the store each time: a binding counts from the moment it is written."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def allow(self, user: User, asked: Attributes) -> bool:
        """True if a rule of one of the user's roles covers what is asked for."""
        covers = _covers_resource if asked.resource else _covers_path
        return any(covers(rule, asked) for rule in self.rules_of(user, asked.namespace))

    def reason(self, user: User, asked: Attributes) -> str:
        """Which binding allows it, in upstream's words; nothing if none does."""
        covers = _covers_resource if asked.resource else _covers_path
        for binding, subject, namespace in self._bindings_of(user, asked.namespace):
            if any(covers(rule, asked) for rule in self._rules(binding, namespace)):
                return f"RBAC: allowed by {_described(binding, subject, namespace)}"
        return ""

    def rules_of(self, user: User, namespace: str) -> Iterator[Obj]:
        """The rules that hold for a user in a namespace, or for the whole cluster if it is empty."""
        for binding, _, where in self._bindings_of(user, namespace):
            yield from self._rules(binding, where)

    def _bindings_of(self, user: User, namespace: str) -> Iterator[tuple[Obj, Obj, str]]:
        """Bindings that are about a user, with the subject that is, and the namespace where they hold."""
        cluster_wide = [(binding, "") for binding in self._store.list(f"clusterrolebindings.{GROUP}")]
        in_namespace = self._store.list(f"rolebindings.{GROUP}", namespace) if namespace else []
        for binding, where in [*cluster_wide, *((binding, namespace) for binding in in_namespace)]:
            subject = next((each for each in binding.get("subjects") or [] if _is(each, user, where)), None)
            if subject is not None:
                yield binding, subject, where

    def rules_of_reference(self, reference: Obj, namespace: str) -> list[Obj] | None:
        """The rules of the role that a binding in a namespace refers to; None if there is no such role."""
        in_namespace = reference["kind"] == "Role"
        shelf = f"roles.{GROUP}" if in_namespace else f"clusterroles.{GROUP}"
        role = self._store.get(shelf, namespace if in_namespace else "", reference["name"])
        return None if role is None else role.get("rules") or []

    def _rules(self, binding: Obj, namespace: str) -> list[Obj]:
        return self.rules_of_reference(binding["roleRef"], namespace) or []


def _described(binding: Obj, subject: Obj, namespace: str) -> str:
    """Models pkg/registry/rbac/validation roleBindingDescriber."""
    name = binding["metadata"]["name"] + (f"/{namespace}" if namespace else "")
    reference = binding["roleRef"]
    who = subject["name"]
    if subject["kind"] == "ServiceAccount":
        who = f"{who}/{subject.get('namespace') or namespace}"
    role = f"{reference['kind']} {go_quote(reference['name'])}"
    return f"{binding['kind']} {go_quote(name)} of {role} to {subject['kind']} {go_quote(who)}"


def _is(subject: Obj, user: User, namespace: str) -> bool:
    kind, name = subject.get("kind"), subject.get("name")
    if kind == "Group":
        return name in user.groups
    if kind == "ServiceAccount":
        return user.name == f"system:serviceaccount:{subject.get('namespace') or namespace}:{name}"
    return kind == "User" and name == user.name


def _covers_resource(rule: Obj, asked: Attributes) -> bool:
    subresource = asked.resource.partition("/")[2]
    named = {"*", asked.resource, *([f"*/{subresource}"] if subresource else [])}
    names = rule.get("resourceNames") or []
    return (
        not {"*", asked.verb}.isdisjoint(rule.get("verbs") or [])
        and not {"*", asked.group}.isdisjoint(rule.get("apiGroups") or [])
        and not named.isdisjoint(rule.get("resources") or [])
        and (not names or asked.name in names)
    )


def _covers_path(rule: Obj, asked: Attributes) -> bool:
    if {"*", asked.verb}.isdisjoint(rule.get("verbs") or []):
        return False
    for path in rule.get("nonResourceURLs") or []:
        if path == asked.path or (path.endswith("*") and asked.path.startswith(path[:-1])):
            return True
    return False
