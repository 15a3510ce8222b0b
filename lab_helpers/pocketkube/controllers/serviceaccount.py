"""Two small controllers that furnish each namespace: a `default` ServiceAccount, and the cluster's CA for its Pods.

Models pkg/controller/serviceaccount/serviceaccounts_controller.go and
pkg/controller/certificates/rootcacertpublisher (v1.36).
"""

from __future__ import annotations

from ..api.status import StatusError
from ..client import Client, EventType
from ..clock import Clock
from ..informer import Controller, Informer, SharedInformers
from ..objects import Obj, copy, is_deleting, name_of, namespace_of

DEFAULT_ACCOUNT = "default"
ROOT_CA = "kube-root-ca.crt"
_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of "
    "Kubernetes clusters."
)


def default_account(namespace: str) -> Obj:
    """The ServiceAccount that Pods of a namespace use unless they name another."""
    metadata = {"name": DEFAULT_ACCOUNT, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}


def root_ca(namespace: str, certificate: str) -> Obj:
    """The ConfigMap with which Pods of a namespace verify the API server."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": ROOT_CA,
            "namespace": namespace,
            "annotations": {"kubernetes.io/description": _DESCRIPTION},
        },
        "data": {"ca.crt": certificate},
    }


class _Furnisher(Controller):
    """Puts one object of a fixed name into every namespace, again if somebody removes it."""

    object_name: str

    def __init__(self, client: Client, informers: SharedInformers, contents: Informer, clock: Clock) -> None:
        super().__init__(clock)
        self._client = client
        self._contents = contents
        self._namespaces = informers.get("namespaces")
        self._namespaces.add_handler(self._on_namespace)
        contents.add_handler(self._on_content)

    async def reconcile(self, key: str) -> None:
        """Makes the object if the namespace is there to stay."""
        namespace = self._namespaces.get(key)
        if namespace is None or is_deleting(namespace):
            return
        wanted = self.wanted(key)
        current = self._contents.get(f"{key}/{self.object_name}")
        if current is None:
            try:
                await self._client.create(self._contents.resource, wanted)
            except StatusError as error:
                if error.reason != "AlreadyExists":
                    raise
        elif current.get("data") != wanted.get("data"):
            await self._client.update(self._contents.resource, {**copy(current), "data": wanted["data"]})

    def wanted(self, namespace: str) -> Obj:
        """The object as it should be."""
        raise NotImplementedError

    def _on_namespace(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        if new is not None:
            self.enqueue(new)

    def _on_content(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        obj = new or old or {}
        if event != "ADDED" and name_of(obj) == self.object_name:
            self.queue.add(namespace_of(obj))


class ServiceAccountController(_Furnisher):
    """Keeps a `default` ServiceAccount in every namespace."""

    name = "serviceaccount"
    object_name = DEFAULT_ACCOUNT

    def __init__(self, client: Client, informers: SharedInformers, clock: Clock) -> None:
        super().__init__(client, informers, informers.get("serviceaccounts"), clock)

    def wanted(self, namespace: str) -> Obj:
        """An account without anything."""
        return default_account(namespace)


class RootCAPublisher(_Furnisher):
    """Keeps the cluster's CA certificate in every namespace."""

    name = "root-ca-certificate-publisher"
    object_name = ROOT_CA

    def __init__(self, client: Client, informers: SharedInformers, certificate: str, clock: Clock) -> None:
        super().__init__(client, informers, informers.get("configmaps"), clock)
        self._certificate = certificate

    def wanted(self, namespace: str) -> Obj:
        """The certificate under `ca.crt`."""
        return root_ca(namespace, self._certificate)
