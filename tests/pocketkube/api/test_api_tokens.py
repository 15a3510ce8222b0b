"""Service account tokens and the questions about users, over HTTPS."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from api_serving import Reply, Served, run
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature


def test_a_token_is_bound_to_what_is_there() -> None:
    async def scenario(served: Served) -> None:
        root = "/api/v1/namespaces/default"
        await served.post(f"{root}/serviceaccounts", {"metadata": {"name": "bob"}})
        spec = {"serviceAccountName": "bob", "containers": [{"name": "c", "image": "httpd"}]}
        pod = (await served.post(f"{root}/pods", {"metadata": {"name": "p"}, "spec": spec})).json
        uid = pod["metadata"]["uid"]

        async def ask(**reference: str) -> Reply:
            reference = {"apiVersion": "v1", "kind": "Pod", "name": "p", **reference}
            return await served.post(f"{root}/serviceaccounts/bob/token", {"spec": {"boundObjectRef": reference}})

        for reference, code, message in (
            ({"name": "nosuch"}, 404, 'pods "nosuch" not found'),
            ({"kind": "Secret"}, 404, 'secrets "p" not found'),
            ({"kind": "Service"}, 400, "cannot bind token to object of type /v1, Kind=Service"),
            ({"uid": "other"}, 409, "the UID in the bound object reference (other) does not match the UID in record"),
        ):
            refused = await ask(**reference)
            assert refused.status == code and message in refused.message
        token = (await ask()).json["status"]["token"]
        review = {"spec": {"token": token}}
        answer = (await served.post("/apis/authentication.k8s.io/v1/tokenreviews", review)).json["status"]
        extra = answer["user"]["extra"]
        assert answer["authenticated"] and answer["user"]["uid"]
        assert answer["audiences"] == ["https://kubernetes.default.svc.cluster.local"]
        assert extra["authentication.kubernetes.io/pod-uid"] == [uid]
        assert extra["authentication.kubernetes.io/credential-id"][0].startswith("JTI=")
        await served.request("DELETE", f"{root}/pods/p?gracePeriodSeconds=0")
        answer = (await served.post("/apis/authentication.k8s.io/v1/tokenreviews", review)).json["status"]
        assert answer == {"user": {}, "error": "invalid bearer token"}

    run(scenario)


def test_a_token_request_is_checked_before_what_it_is_bound_to() -> None:
    async def scenario(served: Served) -> None:
        path = "/api/v1/namespaces/default/serviceaccounts/bob/token"
        await served.post("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "bob"}})
        refused = await served.post(path, {"metadata": {"name": "eve"}, "spec": {}})
        assert refused.status == 422 and refused.message == (
            'TokenRequest.authentication.k8s.io "bob" is invalid: metadata.name: Invalid value: "eve": '
            "must match the service account name if specified"
        )
        missing = {"apiVersion": "v1", "kind": "Pod", "name": "nosuch"}
        refused = await served.post(path, {"spec": {"expirationSeconds": 300, "boundObjectRef": missing}})
        assert refused.status == 422 and "may not specify a duration less than 10 minutes" in refused.message

    run(scenario)


def test_an_eviction_knows_one_kind_of_dry_run() -> None:
    async def scenario(served: Served) -> None:
        root = "/api/v1/namespaces/default/pods"
        await served.post(root, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "httpd"}]}})
        eviction = {"metadata": {"name": "p"}, "deleteOptions": {"dryRun": ["Foo"]}}
        refused = await served.post(f"{root}/p/eviction", eviction)
        assert refused.status == 422 and refused.message == (
            'DeleteOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Foo"]: supported values: "All"'
        )
        assert (await served.get(f"{root}/p")).status == 200

    run(scenario)


def test_a_token_is_reviewed_for_its_audiences() -> None:
    async def scenario(served: Served) -> None:
        path = "/api/v1/namespaces/default/serviceaccounts"
        await served.post(path, {"metadata": {"name": "bob"}})
        asked = {"spec": {"audiences": ["vault", "db"]}}
        token = (await served.post(f"{path}/bob/token", asked)).json["status"]["token"]

        async def review(**spec: Any) -> Any:
            body = {"spec": {"token": token, **spec}}
            return (await served.post("/apis/authentication.k8s.io/v1/tokenreviews", body)).json["status"]

        assert (await review(audiences=["db", "other"]))["audiences"] == ["db"]
        assert "authenticated" not in await review()
        assert "authenticated" not in await review(audiences=["other"])
        missing = await served.post("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {}})
        assert (missing.status, missing.message) == (400, "token is required for TokenReview in authentication")

    run(scenario)


@pytest.mark.parametrize(
    ("plural", "spec", "message"),
    [
        ("subjectaccessreviews", {"resourceAttributes": {}}, "at least one of user or group must be specified"),
        ("selfsubjectaccessreviews", {}, "exactly one of nonResourceAttributes or resourceAttributes"),
        (
            "selfsubjectaccessreviews",
            {"resourceAttributes": {}, "nonResourceAttributes": {"path": "/"}},
            "cannot be specified in combination with resourceAttributes",
        ),
        ("selfsubjectrulesreviews", {}, "no namespace on request"),
    ],
)
def test_questions_must_be_clear(plural: str, spec: Any, message: str) -> None:
    async def scenario(served: Served) -> None:
        refused = await served.post(f"/apis/authorization.k8s.io/v1/{plural}", {"spec": spec})
        assert refused.status in (400, 422) and message in refused.message

    run(scenario)


def test_a_local_question_is_about_its_own_namespace() -> None:
    async def scenario(served: Served) -> None:
        path = "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews"

        async def ask(metadata: Any = None, **spec: Any) -> Reply:
            return await served.post(path, {"metadata": metadata or {}, "spec": {"user": "ann", **spec}})

        pods = {"verb": "get", "resource": "pods"}
        good = await ask(resourceAttributes={**pods, "namespace": "default"})
        assert (good.status, good.json["status"]) == (201, {"allowed": False})
        assert good.json["metadata"]["namespace"] == "default"
        for reply, why in (
            (await ask(resourceAttributes=pods), "must match metadata.namespace"),
            (await ask(nonResourceAttributes={"path": "/"}), "disallowed on this kind of request"),
            (
                await ask({"name": "a"}, resourceAttributes={"namespace": "default"}),
                "must be empty except for namespace",
            ),
        ):
            assert reply.status == 422 and why in reply.message

    run(scenario)


def test_tokens_can_be_verified_by_others() -> None:
    async def scenario(served: Served) -> None:
        configuration = (await served.get("/.well-known/openid-configuration")).json
        assert configuration["issuer"] == "https://kubernetes.default.svc.cluster.local"
        assert configuration["jwks_uri"].endswith("/openid/v1/jwks")
        reply = await served.get("/openid/v1/jwks")
        assert reply.headers["Content-Type"] == "application/jwk-set+json"
        key = reply.json["keys"][0]
        path = "/api/v1/namespaces/default/serviceaccounts"
        await served.post(path, {"metadata": {"name": "bob"}})
        token = (await served.post(f"{path}/bob/token", {})).json["status"]["token"]
        head, payload, signature = (base64.urlsafe_b64decode(part + "==") for part in token.split("."))
        assert json.loads(head) == {"alg": "ES256", "kid": key["kid"]}
        x, y = (int.from_bytes(base64.urlsafe_b64decode(key[name] + "==")) for name in "xy")
        public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        encoded = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
        public.verify(encoded, token.rpartition(".")[0].encode(), ec.ECDSA(hashes.SHA256()))

    run(scenario)


def test_an_answer_says_who_asked_the_question_and_when() -> None:
    async def scenario(served: Served) -> None:
        for path, spec, owned in (
            ("authentication.k8s.io/v1/tokenreviews", {"token": "x"}, {"f:token": {}}),
            (
                "authorization.k8s.io/v1/subjectaccessreviews?fieldManager=judge",
                {"user": "jane", "groups": ["a"], "resourceAttributes": {"verb": "get", "resource": "pods"}},
                {
                    "f:groups": {},
                    "f:resourceAttributes": {".": {}, "f:resource": {}, "f:verb": {}},
                    "f:user": {},
                },
            ),
        ):
            answer = (await served.post(f"/apis/{path}", {"spec": spec}, User_Agent="judge/1")).json
            (entry,) = answer["metadata"]["managedFields"]
            assert entry.pop("time")
            assert entry == {
                "manager": "judge",
                "operation": "Update",
                "apiVersion": answer["apiVersion"],
                "fieldsType": "FieldsV1",
                "fieldsV1": {"f:spec": owned},
            }
        me = (await served.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})).json
        assert [*me["metadata"]] == ["creationTimestamp"] and "spec" not in me
        rules = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
        mine = (await served.post(rules, {"spec": {"namespace": "default"}})).json
        assert (mine["metadata"], mine["spec"]) == ({}, {})

    run(scenario)
