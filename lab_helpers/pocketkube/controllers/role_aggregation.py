"""ClusterRoles made of others: `admin` gathers the rules of all that are labelled to be part of it.

Models pkg/controller/clusterroleaggregation (v1.36).
"""

from __future__ import annotations

from ..api.selectors import compile_label_selector
from ..api.status import ignoring_not_found
from ..client import Client, EventType
from ..clock import Clock
from ..informer import Controller, SharedInformers
from ..objects import Obj, labels_of, name_of

_RESOURCE = "clusterroles.rbac.authorization.k8s.io"


class RoleAggregationController(Controller):
    """Writes the rules of aggregated ClusterRoles. A key is the name of one."""

    name = "clusterrole-aggregation"

    def __init__(self, client: Client, informers: SharedInformers, clock: Clock) -> None:
        super().__init__(clock)
        self._client = client
        self._roles = informers.get(_RESOURCE)
        self._roles.add_handler(self._on_role)

    async def reconcile(self, key: str) -> None:
        """Gathers the rules anew."""
        role = self._roles.get(key)
        if role is None or role.get("aggregationRule") is None:
            return
        rules: list[Obj] = []
        parts = sorted(self._roles.list(), key=name_of)
        for term in role["aggregationRule"].get("clusterRoleSelectors") or []:
            selector = compile_label_selector(term)
            for part in parts:
                if name_of(part) != key and selector.matches(labels_of(part)):
                    rules += [rule for rule in part.get("rules") or [] if rule not in rules]
        if rules != (role.get("rules") or []):
            with ignoring_not_found():
                await self._client.patch(_RESOURCE, key, {"rules": rules or None})

    def _on_role(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        # Any of them may be part of any other; there are few.
        for role in self._roles.list():
            if role.get("aggregationRule") is not None:
                self.enqueue(role)
