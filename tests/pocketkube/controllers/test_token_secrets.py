"""Secrets with the token of a ServiceAccount."""

from __future__ import annotations

import base64
from pathlib import Path

from harness import Cluster, play

from lab_helpers.pocketkube.api.authentication import Authenticator
from lab_helpers.pocketkube.api.tokens import TokenAuthority
from lab_helpers.pocketkube.config import ClusterConfig
from lab_helpers.pocketkube.objects import Obj
from lab_helpers.pocketkube.pki import ensure_pki

NAME = "kubernetes.io/service-account.name"
TYPE = "kubernetes.io/service-account-token"


def token_secret(account: str) -> Obj:
    metadata = {"name": "held", "namespace": "default", "annotations": {NAME: account}}
    return {"metadata": metadata, "type": TYPE}


def test_a_token_is_written_into_its_secret_and_holds_as_long_as_that(tmp_path: Path) -> None:
    config = ClusterConfig("test", tmp_path)
    pki = ensure_pki(config)

    async def scenario(cluster: Cluster) -> None:
        account = {"metadata": {"name": "bob", "namespace": "default"}}
        made = await cluster.client.create("serviceaccounts", account)
        await cluster.client.create("secrets", token_secret("bob"))

        async def filled() -> Obj | None:
            secret = await cluster.get("secrets", "held")
            return secret if (secret or {}).get("data") else None

        secret = await cluster.until(filled)
        data = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
        assert data["namespace"] == "default"
        assert data["ca.crt"] == pki.ca_certificate.read_text()
        annotations = secret["metadata"]["annotations"]
        assert annotations["kubernetes.io/service-account.uid"] == made["metadata"]["uid"]

        authenticator = Authenticator(cluster.operations, TokenAuthority(pki.service_account_key, config.issuer))
        found = authenticator.user_of_token(data["token"])
        assert found is not None
        user, audiences = found
        assert (user.name, user.uid) == ("system:serviceaccount:default:bob", made["metadata"]["uid"])
        assert audiences == [config.issuer]
        assert user.extra == {}

        await cluster.client.delete("serviceaccounts", "bob", "default")

        async def gone() -> bool:
            return await cluster.get("secrets", "held") is None

        await cluster.until(gone)
        assert authenticator.user_of_token(data["token"]) is None

    play(tmp_path, scenario)


def test_a_token_for_nobody_does_not_stay(tmp_path: Path) -> None:
    ensure_pki(ClusterConfig("test", tmp_path))

    async def scenario(cluster: Cluster) -> None:
        await cluster.client.create("secrets", token_secret("nobody"))

        async def gone() -> bool:
            return await cluster.get("secrets", "held") is None

        await cluster.until(gone)

    play(tmp_path, scenario)
