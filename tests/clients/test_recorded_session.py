"""A learner's session, recorded on a real cluster (`data/`), replayed here: kubectl has to print the same.

The files are numbered in the order of the steps. What differs from run to run is mapped (`recorded.py`); what differs
on purpose is listed in `ON_PURPOSE`, with the reason.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from kubectls import Kubectl, eventually, newest
from recorded import Recording, mapped, recordings

from lab_helpers.clusters import EmbeddedCluster
from lab_helpers.clusters.base import CommandResult

pytestmark = [pytest.mark.kernel, pytest.mark.kubectl]

NAMESPACE = "kubectlsamples"
RECORDED_NODE = "ref-node"
RECORDINGS = {recording.name: recording for recording in recordings()}


class Difference(NamedTuple):
    """Lines that differ from the recording's on purpose: what is done to both sides before they are compared."""

    where: str
    why: str
    pattern: str
    instead: str = ""


ON_PURPOSE = [
    Difference("02-*", "Pods start so fast here that the rollout may be over.", r"^Waiting for .*\n"),
    Difference(
        "*-describe-*",
        "The recorded cluster hands out a second CA bundle, as one distribution does.",
        r"^    ConfigMapName:  openshift-service-ca.crt\n    Optional:  false\n",
    ),
    Difference(
        "11-*",
        "The same bundle in YAML.",
        r"^        - configMap:\n            items:\n            - key: service-ca.crt\n.*\n.*openshift.*\n",
    ),
    Difference("13-*", "A slice counts each change that its controller noticed.", r"^    generation: \d$"),
    Difference(
        "21-*",
        "The descriptions are the official client's, which name no values of enums.",
        r"^  enum: .*\n|^    \n    Possible enum values:\n(     - .*\n)+",
    ),
    Difference(
        "22-*",
        "Nothing whose only verb belongs to another part of the cluster.",
        r"^(bindings|componentstatuses) .*\n",
    ),
    Difference("25-*", "This node is the control plane's, too.", r"^Roles: .*\n|^ +node-role.*\n|^ +node\.kub.*\n"),
    Difference("25-*", "The machine.", r"(ephemeral-storage|memory|cpu|Machine ID|System UUID|Kernel.*|OS Image):.*"),
    Difference("25-*", "An own container runtime.", r"(containerd|pocketkube)://[\d.]+", "<runtime>"),
    Difference("25-*", "Other Pods on the node.", r"^Non-terminated Pods: .*\n|^  (default|kube-system)  .*\n"),
    Difference("25-*", "CoreDNS asks for something here.", r"^  (cpu|memory)  .*\n"),
    Difference("25-*", "Only the recorded node is old enough to have lost this event.", r"^.*Starting kubelet\.\n"),
    Difference(
        "26-*",
        "A small stand-in for Apache, which says so.",
        r"^AH00558.*\n|/2\.4.*(?= config)|'.*httpd -D|'.*apache2 -D",
    ),
    Difference("3[01]-*", "There is no such image here.", r"registry.*agnhost:2.63.0|busybox:1", "<image>"),
    Difference("31-*", "Nor its command.", r"^      (nosuchcommand|false)$", "      <command>"),
    Difference("31-*", "An image's own repository is part of its ID.", r"docker.io/library/busybox@"),
    Difference("30-*", "Recorded before the kubelet had written the back-off.", r"Error|CrashLoopBackOff", "<state>"),
    Difference("31-*", "The same.", r"^    State: .*\n(      .*\n)+(?=    Last State)"),
    Difference("32-*", "The recorded node had lost that log already.", r"^unable to retrieve container logs .*"),
]
UNORDERED = {
    "17-get-pods-bad-image": "\n",
    "18-describe-bad": "\n\n\n",
    "25-describe-node": "\n",
    "28-env": "\n",
}
"""Recordings whose parts follow the order of random names, or none, and what parts them."""


class Session:
    """The steps in the order of the recordings, on a cluster."""

    def __init__(self, kubectl: Kubectl, folder: Path) -> None:
        self._kubectl = kubectl.within(NAMESPACE)
        self._folder = folder
        for kind, file in (("12-deploy-yaml", "deployHttpd.yml"), ("13-svc-yaml", "service.yml")):
            applied = re.search(r"last-applied-configuration: \|\n +(\{.*\})$", RECORDINGS[kind].printed, re.MULTILINE)
            assert applied
            (folder / file).write_text(applied[1])
        self._before: dict[str, Callable[[], object]] = {
            "17-get-pods-bad-image": lambda: self._until("ImagePullBackOff"),
            "23-expose": lambda: self._kubectl("rollout", "status", "deploy/deployhttpd"),
            "25-describe-node": lambda: self._until("Running", exactly=3, rows=3),
            "30-get-crash": lambda: self._until(r"crash +0/1 +CrashLoopBackOff +2 "),
        }

    def play(self, recording: Recording) -> CommandResult:
        """One step, once the cluster is where the recorded one was."""
        self._before.get(recording.name, lambda: None)()
        kubectl = self._kubectl.within("default") if "ns" in recording.command else self._kubectl
        return kubectl.run(*(self._here(word) for word in recording.command))

    def _here(self, word: str) -> str:
        """A word of a recorded command with what exists here."""
        if (self._folder / word).is_file():
            return str(self._folder / word)
        return word.replace("registry.k8s.io/e2e-test-images/agnhost:2.63.0", "busybox:1").replace(
            "nosuchcommand", "false"
        )

    def _until(self, pattern: str, *, exactly: int | None = None, rows: int | None = None) -> None:
        def there() -> bool:
            listed = self._kubectl("get", "pods", "--no-headers")
            found = len(re.findall(pattern, listed))
            return (found == exactly if exactly else found > 0) and (not rows or len(listed.splitlines()) == rows)

        eventually(there, f"{pattern} in kubectl get pods", 40)


@pytest.fixture(scope="module")
def cluster(servicelab_home: Path) -> Iterator[EmbeddedCluster]:
    """A cluster of its own: what is on the node is part of what is compared."""
    own = EmbeddedCluster("recorded")
    own.start()
    yield own
    own.delete()


@pytest.fixture(scope="module")
def replayed(cluster: EmbeddedCluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, CommandResult]:
    """What each step printed here."""
    kubectl = newest(cluster)
    kubectl("create", "namespace", NAMESPACE)
    session = Session(kubectl, tmp_path_factory.mktemp("session"))
    return {name: session.play(recording) for name, recording in RECORDINGS.items()}


@pytest.mark.parametrize("name", RECORDINGS)
def test_prints_what_a_real_cluster_prints(
    name: str, replayed: dict[str, CommandResult], cluster: EmbeddedCluster
) -> None:
    recorded, here = RECORDINGS[name], replayed[name]
    printed = comparable(name, here.stderr + here.stdout, cluster.nodes()[0])
    assert printed == comparable(name, recorded.printed, RECORDED_NODE)
    assert here.returncode == recorded.returncode


def comparable(name: str, printed: str, node: str) -> list[str]:
    text = "\n".join(mapped(printed, node)) + "\n"
    for difference in ON_PURPOSE:
        if fnmatch.fnmatch(name, difference.where):
            text = re.sub(difference.pattern, difference.instead, text, flags=re.MULTILINE)
    if separator := UNORDERED.get(name):
        return sorted(text.strip("\n").split(separator))
    return text.strip("\n").split("\n")
