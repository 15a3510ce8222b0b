"""The place where a chapter happens: its namespace on a cluster, and what the lab remembers of it.

The namespace is made by the lab and carries its label; `reset` empties such a namespace and no other. A kubeconfig of
its own makes plain `kubectl` commands land in it.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from .. import traffic
from ..clusters.base import Cluster
from ..errors import ClusterError, ExerciseError
from ..reader import Reader
from ..traffic import Request

CHAPTER_LABEL = "servicelab/chapter"
_RESET_KINDS = "deployments,replicasets,services,pods"


class Workspace:
    """A chapter's namespace on a cluster. Reads go through `reader`, requests through `request`."""

    def __init__(self, cluster: Cluster, namespace: str, folder: Path, memory: dict[str, Any] | None = None) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.folder = folder
        self.memory: dict[str, Any] = {} if memory is None else memory
        self.reader = Reader(cluster, namespace)

    @property
    def kubeconfig(self) -> Path:
        """The cluster's kubeconfig with this namespace as the default, beside the original."""
        return self.cluster.kubeconfig.with_name(f"{self.namespace}.kubeconfig")

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which plain kubectl commands land in this namespace."""
        return {**self.cluster.environment, "KUBECONFIG": str(self.kubeconfig)}

    def prepare(self, chapter: int) -> None:
        """Makes the namespace and its kubeconfig if they are not there. Raises ClusterError."""
        namespace = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": self.namespace, "labels": {CHAPTER_LABEL: str(chapter)}},
        }
        if not self.cluster.kubectl("get", "namespace", self.namespace).ok:
            made = self.cluster.kubectl("create", "-f", "-", input=json.dumps(namespace))
            if not made.ok:
                raise ClusterError(f"The namespace {self.namespace} could not be made.", hint=made.stderr.strip())
        self._write_kubeconfig()

    def reset(self) -> None:
        """Deletes what is in the namespace, which must be one that the lab made, and forgets it."""
        found = self.cluster.kubectl("get", "namespace", self.namespace, "-o", "json")
        labels = json.loads(found.stdout)["metadata"].get("labels", {}) if found.ok else {}
        if CHAPTER_LABEL not in labels:
            raise ExerciseError(
                f"The namespace {self.namespace} was not made by the lab, so it stays as it is.",
                hint="Delete what is in it yourself, or use another cluster.",
            )
        deleted = self.cluster.kubectl(
            "delete", _RESET_KINDS, "--all", "-n", self.namespace, "--grace-period=1", timeout=120
        )
        if not deleted.ok:
            raise ClusterError(f"The namespace {self.namespace} could not be emptied.", hint=deleted.stderr.strip())
        self.memory.clear()

    def run(self, commands: Sequence[str]) -> None:
        """Runs command lines as a learner would, in the chapter's folder. Raises ExerciseError if one fails."""
        for command in commands:
            done = subprocess.run(
                ["sh", "-c", command],
                cwd=self.folder,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            if done.returncode != 0:
                raise ExerciseError(f"This command failed: {command}", hint=done.stderr.strip())

    def request(self, url: str, *, n: int = 1, timeout: float = 2.0) -> list[Request]:
        """Sends requests from the node and gives what became of each."""
        return traffic.send(self.cluster, url, source="node", n=n, timeout=timeout).requests

    def _write_kubeconfig(self) -> None:
        flat = self.cluster.kubectl("config", "view", "--minify", "--flatten", "--raw", "-o", "yaml")
        if not flat.ok:
            raise ClusterError("The kubeconfig of the cluster can't be read.", hint=flat.stderr.strip())
        config = yaml.safe_load(flat.stdout)
        for context in config["contexts"]:
            context["context"]["namespace"] = self.namespace
        fresh = self.kubeconfig.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(yaml.safe_dump(config), encoding="utf-8")
        fresh.replace(self.kubeconfig)
