"""What a real node answered (objects, Pods, rules), and topologies made from it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from lab_helpers.iptables.model import Ruleset
from lab_helpers.iptables.parser import parse
from lab_helpers.topology import model
from lab_helpers.topology.model import Client, Rule, Topology
from lab_helpers.topology.rules import chains_of, rules_of

DATA = Path(__file__).parents[1] / "iptables" / "data"
"""The same node: what it had in its kernel and what the API answered were recorded together."""
Obj = dict[str, Any]


class Recorded:
    """One recorded state of a real cluster, free to be changed."""

    def __init__(self, name: str) -> None:
        objects: list[Obj] = json.loads((DATA / f"{name}.objects.json").read_text())["items"]
        self.pods: list[Obj] = [
            pod
            for pod in json.loads((DATA / f"{name}.pods.json").read_text())["items"]
            if pod["metadata"]["namespace"] == "default"
        ]
        own = [item for item in objects if item["metadata"]["namespace"] == "default"]
        self.slices = [item for item in own if item["kind"] == "EndpointSlice"]
        self.service: Obj | None = next(item for item in own if item["metadata"]["name"] == "demo-service")
        self.ruleset: Ruleset = parse((DATA / f"{name}.iptables-save.txt").read_text())

    @property
    def slice(self) -> Obj:
        return next(item for item in self.slices if item["metadata"]["name"].startswith("demo-service"))

    def topology(self, rules: list[Rule] | None = None) -> Topology:
        shown = model.build("demo-service", "default", service=self.service, slices=[], pods=[]).service
        return model.build(
            "demo-service",
            "default",
            service=self.service,
            slices=self.slices,
            pods=self.pods,
            rules=rules_of(self.ruleset, shown) if rules is None and shown else rules or [],
            chains=chains_of(self.ruleset, shown) if shown else [],
            rules_node="ref-node",
            clients=[Client("node", "ref-node")],
        )

    def make_pods(self, count: int, nodes: int = 2) -> list[Rule]:
        """Replaces the Pods by so many ready ones, with endpoints; returns the rules that go with them."""
        template, self.pods = self.pods[0], []
        self.slice["endpoints"] = []
        for number in range(count):
            pod, node, address = (
                copy.deepcopy(template),
                f"node-{number % nodes}",
                f"10.244.{number % nodes}.{number + 3}",
            )
            pod["metadata"]["name"] = f"deployhttpd-86b96bb76d-{number:05d}"
            pod["status"]["podIP"], pod["spec"]["nodeName"] = address, node
            self.pods.append(pod)
            target = {"kind": "Pod", "name": pod["metadata"]["name"]}
            self.slice["endpoints"].append(
                {"addresses": [address], "conditions": {"ready": True}, "nodeName": node, "targetRef": target}
            )
        return [
            Rule("", f"{pod['status']['podIP']}:80", 1 / count, f"KUBE-SEP-{number}")
            for number, pod in enumerate(self.pods)
        ]


def set_not_ready(pod: Obj, reason: str = "CrashLoopBackOff") -> None:
    for condition in pod["status"]["conditions"]:
        if condition["type"] == "Ready":
            condition["status"] = "False"
    pod["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": reason}}
