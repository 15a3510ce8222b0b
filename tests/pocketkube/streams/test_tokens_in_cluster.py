"""Who users are and what they may, asked with kubectl and from inside a Pod."""

from __future__ import annotations

import base64
import json

import pytest
from streaming_cluster import Kubectl

pytestmark = [pytest.mark.kernel, pytest.mark.kubectl]

ASK = """
folder=/var/run/secrets/kubernetes.io/serviceaccount
curl -s --cacert $folder/ca.crt -H "Authorization: Bearer $(cat $folder/token)" https://10.96.0.1/"$1"
"""


def claims(token: str) -> dict[str, object]:
    """What a token says."""
    part = token.strip().split(".")[1]
    found: dict[str, object] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def test_an_administrator_is_told_so(kubectl: Kubectl) -> None:
    assert "kubernetes-admin" in kubectl("auth", "whoami")
    assert kubectl("auth", "can-i", "--list").splitlines()[1].split() == ["*.*", "[]", "[]", "[*]"]
    account = "--as=system:serviceaccount:streams:default"
    assert kubectl.run("auth", "can-i", "create", "pods", account, code=1).stdout == "no\n"
    listed = kubectl("auth", "can-i", "--list", account)
    assert "selfsubjectreviews.authentication.k8s.io" in listed and "*.*" not in listed


def test_tokens_are_made_to_order(kubectl: Kubectl) -> None:
    token = claims(kubectl("create", "token", "default", "--audience=vault", "--duration=1h"))
    assert token["aud"] == ["vault"] and int(str(token["exp"])) - int(str(token["iat"])) == 3600
    uid = kubectl("get", "pod", "web", "-o", "jsonpath={.metadata.uid}")
    bound = claims(kubectl("create", "token", "default", "--bound-object-kind=Pod", "--bound-object-name=web"))
    private = bound["kubernetes.io"]
    assert isinstance(private, dict) and private["pod"] == {"name": "web", "uid": uid} and private["node"]["name"]
    said = kubectl.fails("create", "token", "default", "--bound-object-kind=Pod", "--bound-object-name=nosuch")
    assert 'pods "nosuch" not found' in said
    assert "may not specify a duration less than 10 minutes" in kubectl.fails(
        "create", "token", "default", "--duration=1m"
    )


def test_a_pod_s_token_works_from_inside(one_kubectl: Kubectl) -> None:
    def ask(path: str) -> dict[str, object]:
        answer: dict[str, object] = json.loads(one_kubectl("exec", "web", "--", "sh", "-c", ASK, "sh", path))
        return answer

    assert ask("api")["versions"] == ["v1"]
    assert ask("openid/v1/jwks")["keys"]
    refused = ask("api/v1/namespaces/streams/pods")
    assert refused["reason"] == "Forbidden"
    assert 'User "system:serviceaccount:streams:default" cannot list resource "pods"' in str(refused["message"])
