"""Secrets that hold a ServiceAccount's token for good: filled in once somebody has made one, and gone with the account.

Nobody gets one unasked: Pods have tokens that expire.
Models pkg/controller/serviceaccount/tokens_controller.go (v1.36).
"""

from __future__ import annotations

import base64

from ..api.status import StatusError, ignoring_not_found
from ..api.tokens import TokenAuthority
from ..client import Client, EventType
from ..clock import Clock
from ..informer import Controller, SharedInformers
from ..objects import Obj, copy, is_deleting, key_of, name_of, namespace_of, uid_of

_TYPE = "kubernetes.io/service-account-token"
_ACCOUNT = "kubernetes.io/service-account.name"
_ACCOUNT_UID = "kubernetes.io/service-account.uid"


class TokenSecretController(Controller):
    """Looks after token Secrets. A key is a Secret's."""

    name = "serviceaccount-token"

    def __init__(
        self, client: Client, informers: SharedInformers, tokens: TokenAuthority, ca_certificate: str, clock: Clock
    ) -> None:
        super().__init__(clock)
        self._client = client
        self._tokens = tokens
        self._ca = _encoded(ca_certificate)
        self._secrets = informers.get("secrets")
        self._secrets.add_handler(self._on_secret)
        informers.get("serviceaccounts").add_handler(self._on_account)

    async def reconcile(self, key: str) -> None:
        """Fills in a token, or deletes it if its account is not there."""
        secret = self._secrets.get(key)
        if secret is None or is_deleting(secret):
            return
        account = await self._account_of(secret)
        if account is None:
            with ignoring_not_found():
                await self._client.delete("secrets", name_of(secret), namespace_of(secret), uid=uid_of(secret))
            return
        data = secret.get("data") or {}
        wanted = {**data, "ca.crt": self._ca}
        if not data.get("namespace"):
            wanted["namespace"] = _encoded(namespace_of(secret))
        if not data.get("token"):
            wanted["token"] = _encoded(self._tokens.issue_for_good(account, name_of(secret)))
        if wanted == data:
            return
        changed = copy(secret)
        changed["data"] = wanted
        changed["metadata"]["annotations"] |= {_ACCOUNT: name_of(account), _ACCOUNT_UID: uid_of(account)}
        with ignoring_not_found():
            await self._client.update("secrets", changed)

    async def _account_of(self, secret: Obj) -> Obj | None:
        annotations = secret["metadata"].get("annotations") or {}
        try:
            account = await self._client.get("serviceaccounts", annotations.get(_ACCOUNT, ""), namespace_of(secret))
        except StatusError as error:
            if error.code != 404:
                raise
            return None
        return account if annotations.get(_ACCOUNT_UID) in (None, "", uid_of(account)) else None

    def _on_secret(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        if new is not None and new.get("type") == _TYPE:
            self.enqueue(new)

    def _on_account(self, event: EventType, new: Obj | None, old: Obj | None) -> None:
        account = new or old or {}
        if new is not None and old is not None:
            return
        for secret in self._secrets.list(namespace_of(account)):
            annotations = secret["metadata"].get("annotations") or {}
            if secret.get("type") == _TYPE and annotations.get(_ACCOUNT) == name_of(account):
                self.queue.add(key_of(secret))


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
