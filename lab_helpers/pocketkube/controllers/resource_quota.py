"""The quota controller: writes down how much of each ResourceQuota is used.

Refusing what goes beyond is left to the API server (`resources/quota`).
Models pkg/controller/resourcequota/resource_quota_controller.go (v1.36).
"""

from __future__ import annotations

from collections.abc import Callable

from ..client import Client, EventType
from ..clock import Clock
from ..informer import Controller, SharedInformers
from ..objects import Obj, copy, namespace_of
from ..resources.quota import used
from ..resources.quota_usage import counted_resources, is_terminating
from .pods import is_finished

_RESOURCE = "resourcequotas"


class ResourceQuotaController(Controller):
    """Writes the status of quotas. A key is a quota's."""

    name = "resourcequota"

    def __init__(self, client: Client, informers: SharedInformers, clock: Clock) -> None:
        super().__init__(clock)
        self._client = client
        self._quotas = informers.get(_RESOURCE)
        self._counted = {name: informers.get(name) for name in counted_resources()}
        self._quotas.add_handler(lambda event, new, old: self.enqueue(new or old or {}))
        for name, informer in self._counted.items():
            informer.add_handler(self._handler(name))

    async def reconcile(self, key: str) -> None:
        """Counts anew."""
        quota = self._quotas.get(key)
        if quota is None:
            return
        spec: Obj = quota.get("spec") or {}
        namespace = namespace_of(quota)
        taken = used(spec, lambda resource: self._counted[resource].list(namespace))
        status: Obj = {"hard": dict(spec.get("hard") or {}), "used": taken}
        if status == (quota.get("status") or {}):
            return
        changed = copy(quota)
        changed["status"] = status
        await self._client.update(_RESOURCE, changed, subresource="status")

    def _handler(self, resource: str) -> Callable[[EventType, Obj | None, Obj | None], None]:
        def on_change(event: EventType, new: Obj | None, old: Obj | None) -> None:
            if new is not None and old is not None and not _counts_differently(resource, new, old):
                return
            for quota in self._quotas.list(namespace_of(new or old or {})):
                self.enqueue(quota)

        return on_change


def _counts_differently(resource: str, new: Obj, old: Obj) -> bool:
    """A Pod that has ended counts no more, or it changes its scope; a Service counts by its type and ports."""
    if resource == "pods":
        return is_finished(new) != is_finished(old) or is_terminating(new) != is_terminating(old)
    return resource == "services" and new["spec"] != old["spec"]
