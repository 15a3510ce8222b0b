"""Who is asking, and may they."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab_helpers.pocketkube.api.auth import (
    ANONYMOUS,
    TRUSTED,
    Attributes,
    User,
    authorize,
    is_allowed,
    service_account_user,
    user_of_certificate,
)
from lab_helpers.pocketkube.api.status import StatusError
from lab_helpers.pocketkube.api.tokens import TokenAuthority
from lab_helpers.pocketkube.config import ClusterConfig
from lab_helpers.pocketkube.pki import ensure_pki

ISSUER = "https://kubernetes.default.svc.cluster.local"
ACCOUNT = {"metadata": {"name": "default", "namespace": "shop", "uid": "u1"}}
POD_USER = service_account_user("shop", "default")
LIST_PODS = Attributes("list", "/api/v1/namespaces/shop/pods", "", "pods", "shop")


@pytest.fixture
def tokens(tmp_path: Path) -> TokenAuthority:
    return TokenAuthority(ensure_pki(ClusterConfig("lab", tmp_path)).service_account_key, ISSUER)


def test_a_certificate_names_user_and_groups() -> None:
    subject = ((("organizationName", "system:masters"),), (("commonName", "kubernetes-admin"),))
    assert user_of_certificate({"subject": subject}) == User(
        "kubernetes-admin", ("system:masters", "system:authenticated")
    )


def test_masters_may_do_everything() -> None:
    assert is_allowed(TRUSTED, Attributes("deletecollection", "", "apps", "deployments", "default"))


def test_nobody_may_ask_for_health_alone() -> None:
    for path in ("/healthz", "/livez", "/readyz", "/readyz/ping", "/version"):
        authorize(ANONYMOUS, Attributes("get", path))
    for asked in (LIST_PODS, Attributes("get", "/api"), Attributes("get", "/")):
        with pytest.raises(StatusError) as refused:
            authorize(ANONYMOUS, asked)
        assert refused.value.code == 403
        assert 'User "system:anonymous" cannot ' in refused.value.message


def test_a_pod_may_look_around_but_not_at_objects() -> None:
    for path in ("/", "/api", "/apis/apps/v1", "/openapi/v3/api/v1"):
        authorize(POD_USER, Attributes("get", path))
    assert is_allowed(POD_USER, Attributes("create", "", "authorization.k8s.io", "selfsubjectaccessreviews"))
    with pytest.raises(StatusError) as refused:
        authorize(POD_USER, LIST_PODS)
    assert refused.value.code == 403
    assert refused.value.message == (
        'pods is forbidden: User "system:serviceaccount:shop:default" cannot list resource "pods" '
        'in API group "" in the namespace "shop"'
    )


def test_refusals_name_what_was_asked_for() -> None:
    asked = Attributes("get", "", "apps", "deployments/scale", "", "web")
    with pytest.raises(StatusError) as refused:
        authorize(POD_USER, asked)
    assert refused.value.message == (
        'deployments.apps "web" is forbidden: User "system:serviceaccount:shop:default" cannot get resource '
        '"deployments/scale" in API group "apps" at the cluster scope'
    )
    with pytest.raises(StatusError) as refused:
        authorize(POD_USER, Attributes("get", "/metrics"))
    assert refused.value.message == ('forbidden: User "system:serviceaccount:shop:default" cannot get path "/metrics"')


def test_a_token_says_whose_it_is(tokens: TokenAuthority) -> None:
    bound = {"kind": "Pod", "name": "web", "uid": "p1", "apiVersion": "v1"}
    reply = tokens.issue(ACCOUNT, {"spec": {"boundObjectRef": bound, "expirationSeconds": 607}}, now=1000.0)
    assert reply["kind"] == "TokenRequest"
    assert reply["status"]["expirationTimestamp"] == "1970-01-01T00:26:47Z"
    claims = tokens.verify(reply["status"]["token"], now=1001.0)
    assert claims is not None
    assert (claims.namespace, claims.service_account, claims.service_account_uid) == ("shop", "default", "u1")
    assert claims.bound == {"kind": "pod", "name": "web", "uid": "p1"}


def test_a_token_ends(tokens: TokenAuthority) -> None:
    token = tokens.issue(ACCOUNT, {}, now=1000.0)["status"]["token"]
    assert tokens.verify(token, now=1001.0)
    assert tokens.verify(token, now=4601.0) is None


def test_a_token_for_somebody_else_is_not_for_us(tokens: TokenAuthority) -> None:
    token = tokens.issue(ACCOUNT, {"spec": {"audiences": ["vault"]}})["status"]["token"]
    assert tokens.verify(token) is None
    assert tokens.verify(token, audiences=["vault", "other"]) is not None


@pytest.mark.parametrize("forge", [lambda t: t[:-4] + "AAAA", lambda t: "x" + t, lambda t: "", lambda t: "a.b.c"])
def test_a_forged_token_is_worth_nothing(tokens: TokenAuthority, forge: object) -> None:
    token = tokens.issue(ACCOUNT, {})["status"]["token"]
    assert tokens.verify(forge(token)) is None  # type: ignore[operator]


def test_a_token_of_another_cluster_is_worth_nothing(tokens: TokenAuthority, tmp_path: Path) -> None:
    other = TokenAuthority(ensure_pki(ClusterConfig("other", tmp_path / "other")).service_account_key, ISSUER)
    assert tokens.verify(other.issue(ACCOUNT, {})["status"]["token"]) is None


def test_a_token_lives_ten_minutes_at_least(tokens: TokenAuthority) -> None:
    with pytest.raises(StatusError) as refused:
        tokens.issue(ACCOUNT, {"spec": {"expirationSeconds": 5}})
    assert refused.value.code == 422
    assert "may not specify a duration less than 10 minutes" in refused.value.message
