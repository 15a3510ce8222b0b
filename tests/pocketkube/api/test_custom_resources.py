"""Custom kinds over HTTPS: defined, served, validated, owned field by field, and gone with their definition."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest
from api_serving import Reply, Served, run

from lab_helpers.pocketkube.api.local import LocalClient
from lab_helpers.pocketkube.clock import Clock
from lab_helpers.pocketkube.controllers.custom_resources import CustomResourceController
from lab_helpers.pocketkube.controllers.garbage_collector import GarbageCollector
from lab_helpers.pocketkube.informer import SharedInformers

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CRONTABS = "/apis/stable.example.com/v1/namespaces/default/crontabs"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"

SPEC = {
    "type": "object",
    "required": ["schedule"],
    "properties": {
        "schedule": {"type": "string", "pattern": r"^\S+ \S+ \S+ \S+ \S+$"},
        "replicas": {"type": "integer", "minimum": 1, "default": 1},
        "ports": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["port"],
            "items": {"type": "object", "properties": {"port": {"type": "integer"}, "name": {"type": "string"}}},
        },
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}
DEFINITION: dict[str, Any] = {
    "metadata": {"name": "crontabs.stable.example.com"},
    "spec": {
        "group": "stable.example.com",
        "scope": "Namespaced",
        "names": {"plural": "crontabs", "kind": "CronTab", "shortNames": ["ct"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "additionalPrinterColumns": [{"name": "Schedule", "type": "string", "jsonPath": ".spec.schedule"}],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": SPEC,
                            "status": {"type": "object", "properties": {"ready": {"type": "boolean"}}},
                        },
                    }
                },
            }
        ],
    },
}


def crontab(name: str = "a", **spec: Any) -> dict[str, Any]:
    """A CronTab that is valid unless the spec says otherwise."""
    given = {"schedule": "* * * * *", **spec}
    return {"apiVersion": "stable.example.com/v1", "kind": "CronTab", "metadata": {"name": name}, "spec": given}


async def define(served: Served, definition: dict[str, Any] = DEFINITION) -> Reply:
    """Creates the definition."""
    reply = await served.post(DEFINITIONS, definition)
    assert reply.status == 201, reply.json
    return reply


def causes(reply: Reply) -> list[str]:
    """`field: message` of all that is wrong."""
    assert reply.status == 422, reply.json
    return [f"{cause['field']}: {cause['message']}" for cause in reply.json["details"]["causes"]]


def test_a_definition_is_served_from_the_moment_it_is_stored() -> None:
    async def scenario(served: Served) -> None:
        assert (await served.get(CRONTABS)).status == 404
        defined = (await define(served)).json
        assert defined["spec"]["names"]["listKind"] == "CronTabList"
        assert {entry["type"]: entry["status"] for entry in defined["status"]["conditions"]} == {
            "NamesAccepted": "True",
            "Established": "True",
        }
        assert defined["status"]["storedVersions"] == ["v1"]
        (resource, status) = (await served.get("/apis/stable.example.com/v1")).json["resources"]
        assert (resource["name"], resource["shortNames"], status["name"]) == ("crontabs", ["ct"], "crontabs/status")
        assert "/apis/stable.example.com/v1" in (await served.get("/")).json["paths"]
        document = (await served.get("/openapi/v3/apis/stable.example.com/v1")).json
        shown = document["components"]["schemas"]["com.example.stable.v1.CronTab"]["properties"]
        assert shown["spec"]["properties"]["schedule"]["type"] == "string"
        assert "com.example.stable.v1.CronTab" in (await served.get("/openapi/v2")).json["definitions"]
        explained = (await served.get("/openapi/v3/apis/stable.example.com/v1?described=true")).json
        metadata = explained["components"]["schemas"]["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]["properties"]
        assert metadata["creationTimestamp"]["description"].startswith("CreationTimestamp is a timestamp")

    run(scenario)


def test_an_object_is_defaulted_counted_and_shown_in_its_columns() -> None:
    async def scenario(served: Served) -> None:
        await define(served)
        created = (await served.post(CRONTABS, {**crontab(), "status": {"ready": True}})).json
        assert (created["spec"]["replicas"], created["metadata"]["generation"]) == (1, 1)
        assert "status" not in created
        ready = {"status": {"ready": True}, "spec": {"replicas": 9}}
        changed = await served.request("PATCH", f"{CRONTABS}/a/status", ready, Content_Type=MERGE)
        assert (changed.json["status"], changed.json["spec"]["replicas"]) == ({"ready": True}, 1)
        changed = await served.request("PATCH", f"{CRONTABS}/a", {"spec": {"replicas": 2}}, Content_Type=MERGE)
        assert changed.json["metadata"]["generation"] == 2
        table = (await served.get(CRONTABS, Accept=TABLE)).json
        assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Schedule"]
        assert table["rows"][0]["cells"] == ["a", "* * * * *"]
        listed = (await served.get(CRONTABS)).json
        assert (listed["kind"], listed["items"][0]["kind"]) == ("CronTabList", "CronTab")

    run(scenario)


def test_values_are_refused_in_the_words_of_upstream() -> None:
    async def scenario(served: Served) -> None:
        await define(served)
        wrong = await served.post(CRONTABS, crontab(schedule="x", replicas=0))
        assert causes(wrong) == [
            r"""spec.schedule: Invalid value: "x": spec.schedule in body should match '^\S+ \S+ \S+ \S+ \S+$'""",
            "spec.replicas: Invalid value: 0: spec.replicas in body should be greater than or equal to 1",
        ]
        assert causes(await served.post(CRONTABS, crontab(replicas="many"))) == [
            'spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string"'
        ]
        bare = {**crontab(), "spec": {}}
        assert causes(await served.post(CRONTABS, bare)) == ["spec.schedule: Required value"]
        twice = crontab(ports=[{"port": 1}, {"port": 1}])
        assert causes(await served.post(CRONTABS, twice)) == ['spec.ports[1]: Duplicate value: {"port":1}']
        other = {**crontab(), "apiVersion": "stable.example.com/v9"}
        said = (await served.post(CRONTABS, other)).json["message"]
        assert said.endswith("does not match the expected API version (stable.example.com/v1)")

    run(scenario)


@pytest.mark.parametrize("validation", ["Strict", "Warn"])
def test_unknown_fields_are_pruned_and_told_unless_they_are_preserved(validation: str) -> None:
    async def scenario(served: Served) -> None:
        await define(served)
        body = crontab(bogus=1, free={"any": {"thing": True}})
        body["metadata"]["odd"] = "x"
        reply = await served.post(f"{CRONTABS}?fieldValidation={validation}", body)
        if validation == "Strict":
            assert reply.status == 400
            assert 'unknown field "metadata.odd", unknown field "spec.bogus"' in reply.json["message"]
            return
        assert reply.headers.getall("Warning") == [
            '299 - "unknown field \\"metadata.odd\\""',
            '299 - "unknown field \\"spec.bogus\\""',
        ]
        assert reply.json["spec"] == {"schedule": "* * * * *", "replicas": 1, "free": {"any": {"thing": True}}}

    run(scenario)


def test_server_side_apply_merges_by_the_schema_and_finds_conflicts() -> None:
    async def scenario(served: Served) -> None:
        await define(served)

        async def apply(manager: str, **spec: Any) -> Reply:
            body = {**crontab(), "spec": spec}
            return await served.request("PATCH", f"{CRONTABS}/a?fieldManager={manager}", body, Content_Type=APPLY)

        assert (await apply("one", schedule="* * * * *", ports=[{"port": 1}], free={"x": {"y": 1}})).status == 201
        both = (await apply("two", ports=[{"port": 2, "name": "b"}], free={"x": {"z": 2}})).json
        assert both["spec"]["ports"] == [{"port": 1}, {"port": 2, "name": "b"}]
        assert both["spec"]["free"] == {"x": {"y": 1, "z": 2}}
        conflict = await apply("two", free={"x": {"y": 5}})
        assert (conflict.status, conflict.json["details"]["causes"][0]["field"]) == (409, ".spec.free.x.y")
        fewer = (await apply("two", free={"x": {"z": 2}})).json
        assert fewer["spec"]["ports"] == [{"port": 1}]
        unknown = await apply("two", bogus=1)
        assert ".spec.bogus: field not declared in schema" in unknown.json["message"]
        strategic = "application/strategic-merge-patch+json"
        assert (await served.request("PATCH", f"{CRONTABS}/a", {}, Content_Type=strategic)).status == 415

    run(scenario)


def test_every_version_shows_the_same_object_and_a_new_default_counts_for_old_objects() -> None:
    async def scenario(served: Served) -> None:
        definition = copy.deepcopy(DEFINITION)
        first = definition["spec"]["versions"][0]
        definition["spec"]["versions"].append({**copy.deepcopy(first), "name": "v2", "storage": False})
        await define(served, definition)
        await served.post(CRONTABS, crontab())
        newer = (await served.get(CRONTABS.replace("/v1/", "/v2/") + "/a")).json
        assert (newer["apiVersion"], newer["spec"]["replicas"]) == ("stable.example.com/v2", 1)
        later = [
            {
                "op": "add",
                "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/image",
                "value": {"type": "string", "default": "httpd"},
            }
        ]
        path = f"{DEFINITIONS}/crontabs.stable.example.com"
        changed = await served.request("PATCH", path, later, Content_Type="application/json-patch+json")
        assert changed.json["metadata"]["generation"] == 2
        assert (await served.get(f"{CRONTABS}/a")).json["spec"]["image"] == "httpd"

    run(scenario)


def test_a_definition_that_makes_no_sense_is_refused() -> None:
    async def scenario(served: Served) -> None:
        wrong = copy.deepcopy(DEFINITION)
        wrong["metadata"]["name"] = "other.example.com"
        wrong["spec"]["conversion"] = {"strategy": "Webhook"}
        wrong["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["replicas"] = {}
        wrong["spec"]["versions"][0]["storage"] = False
        refused = {cause.partition(":")[0] for cause in causes(await served.post(DEFINITIONS, wrong))}
        assert refused == {
            "metadata.name",
            "spec.versions",
            "spec.versions[0].schema.openAPIV3Schema.properties[spec].properties[replicas].type",
            "spec.conversion.strategy",
        }

    run(scenario)


def test_names_are_given_once_and_given_again_when_their_definition_has_gone_with_its_objects() -> None:
    async def scenario(served: Served) -> None:
        client = LocalClient(served.operations)
        informers = SharedInformers(client)
        controllers = [
            CustomResourceController(client, informers, Clock()),
            GarbageCollector(client, informers, Clock()),
        ]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each.run()) for each in controllers]
            tasks.append(group.create_task(informers.run()))
            await define(served)
            second = copy.deepcopy(DEFINITION)
            second["metadata"]["name"] = "tabs.stable.example.com"
            second["spec"]["names"] = {"plural": "tabs", "kind": "Tab", "shortNames": ["ct"]}
            waiting = (await define(served, second)).json["status"]["conditions"]
            assert [(entry["type"], entry["status"]) for entry in waiting] == [
                ("NamesAccepted", "False"),
                ("Established", "False"),
            ]
            assert waiting[0]["message"] == '"ct" is already in use'
            owner = (await served.post(CRONTABS, crontab("owner"))).json
            reference = {"apiVersion": "stable.example.com/v1", "kind": "CronTab", "name": "owner"}
            owned = {"metadata": {"name": "owned", "ownerReferences": [{**reference, "uid": owner["metadata"]["uid"]}]}}
            await served.post("/api/v1/namespaces/default/configmaps", owned)
            gone = await served.request("DELETE", f"{DEFINITIONS}/crontabs.stable.example.com")
            assert gone.json["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
            while (await served.get("/apis/stable.example.com/v1/tabs")).status == 404:
                await asyncio.sleep(0.02)
            assert (await served.get(CRONTABS)).status == 404
            while (await served.get("/api/v1/namespaces/default/configmaps/owned")).status == 200:
                await asyncio.sleep(0.02)
            for task in tasks:
                task.cancel()

    run(scenario)
