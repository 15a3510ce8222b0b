"""What Roles and their bindings allow, beyond the fixed policy of `auth`.

A ClusterRoleBinding grants its role everywhere, a RoleBinding in its own namespace; rules only ever add.
Models plugin/pkg/auth/authorizer/rbac and pkg/registry/rbac/validation (v1.36).
"""

from __future__ import annotations

from collections.abc import Iterator

from ..objects import Obj
from ..store import Store
from .auth import Attributes, User

GROUP = "rbac.authorization.k8s.io"


class Roles:
    """Reads the roles in the store each time: a binding counts from the moment it is written."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def allow(self, user: User, asked: Attributes) -> bool:
        """True if a rule of one of the user's roles covers what is asked for."""
        covers = _covers_resource if asked.resource else _covers_path
        return any(covers(rule, asked) for rule in self.rules_of(user, asked.namespace))

    def rules_of(self, user: User, namespace: str) -> Iterator[Obj]:
        """The rules that hold for a user in a namespace, or for the whole cluster if it is empty."""
        for binding in self._store.list(f"clusterrolebindings.{GROUP}"):
            if _names(binding, user, ""):
                yield from self._rules(binding, "")
        if not namespace:
            return
        for binding in self._store.list(f"rolebindings.{GROUP}", namespace):
            if _names(binding, user, namespace):
                yield from self._rules(binding, namespace)

    def rules_of_reference(self, reference: Obj, namespace: str) -> list[Obj] | None:
        """The rules of the role that a binding in a namespace refers to; None if there is no such role."""
        in_namespace = reference["kind"] == "Role"
        shelf = f"roles.{GROUP}" if in_namespace else f"clusterroles.{GROUP}"
        role = self._store.get(shelf, namespace if in_namespace else "", reference["name"])
        return None if role is None else role.get("rules") or []

    def _rules(self, binding: Obj, namespace: str) -> list[Obj]:
        return self.rules_of_reference(binding["roleRef"], namespace) or []


def _names(binding: Obj, user: User, namespace: str) -> bool:
    return any(_is(subject, user, namespace) for subject in binding.get("subjects") or [])


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
