"""Findings about a Deployment: it exists, its rollout is complete, its Pods run what they should and answer."""

from __future__ import annotations

import re

from ..pocketkube.objects import Obj, name_of
from . import looking
from .exercise import Finding
from .workspace import Workspace


def missing(workspace: Workspace, name: str) -> Finding:
    """There is no Deployment of that name."""
    others = [name_of(item) for item in workspace.reader.list("deployments")]
    loose = [name_of(pod) for pod in workspace.reader.list("pods")]
    seen = f"the Deployments here are: {', '.join(others)}" if others else "there is no Deployment here"
    if loose and not others:
        seen += f", only Pods: {', '.join(loose)}"
    return Finding(
        f"A Deployment named {name} exists in the namespace {workspace.namespace}.",
        seen,
        False,
        "Nothing makes new Pods when one is lost, so there is nothing to go on with yet.",
        hints=(
            "Which objects are in your namespace? Compare their kinds and names with the task.",
            f"I looked for the kind Deployment and the name {name}; {seen}.",
            "The article's first manifest has exactly this Deployment. It takes effect once the cluster knows it.",
        ),
    )


def rolled_out(deployment: Obj, pods: list[Obj]) -> Finding:
    """As many new Pods as wanted are available.

    Models kubectl rollout status: pkg/polymorphichelpers/rollout_status.go (v1.36).
    """
    status, wanted = deployment.get("status") or {}, int(deployment["spec"].get("replicas", 1))
    updated, available = int(status.get("updatedReplicas") or 0), int(status.get("availableReplicas") or 0)
    current = int(status.get("observedGeneration") or 0) >= int(deployment["metadata"].get("generation") or 0)
    done = current and wanted > 0 and wanted == updated == available == int(status.get("replicas") or 0)
    seen = f"{available} of {wanted} Pods available: {looking.describe(pods)}"
    if wanted == 0:
        meaning = "It is scaled to zero, so it keeps no Pod at all."
    elif looking.is_stuck(pods):
        meaning = "A Pod can't start, and waiting will not change that."
    else:
        meaning = "The Pods are still on their way."
    return Finding(
        "Its rollout is complete: as many Pods as it asks for are available, at least one.",
        seen,
        done,
        meaning,
        points=1,
        waiting=wanted > 0 and not looking.is_stuck(pods),
        hints=(
            "Look at the number of Pods that the Deployment asks for, and at the status of each Pod.",
            f"Right now: {seen}. {meaning}",
            _stuck_hint(wanted, pods),
        ),
    )


def _stuck_hint(wanted: int, pods: list[Obj]) -> str:
    if wanted == 0:
        return "The number of replicas in its spec is 0; it has to be at least 1."
    for pod in pods:
        for container in (pod.get("status") or {}).get("containerStatuses") or []:
            waiting = (container.get("state") or {}).get("waiting") or {}
            if waiting.get("message"):
                return f"Pod {name_of(pod)} says: {waiting['message']} Compare its image with the article's manifest."
    return "If a Pod stays as it is for long, its events tell why: they are at the end of its description."


def runs_image(deployment: Obj, image: str) -> Finding:
    """A container of its Pods is made from that image, whatever its tag."""
    pattern = re.compile(rf"(docker\.io/)?(library/)?{re.escape(image)}([:@].+)?")
    images = [str(c.get("image")) for c in deployment["spec"]["template"]["spec"]["containers"]]
    return Finding(
        f"Its Pods run the image {image}.",
        f"the Pod template names: {', '.join(images)}",
        any(pattern.fullmatch(named) for named in images),
        "Another program runs there than the lesson is about.",
        hints=(
            "Look at the Pod template of the Deployment: which image does its container name?",
            f"The image is {', '.join(images)}; the task asks for {image}.",
            "An image name is spelt letter by letter; compare it with the article's manifest.",
        ),
    )


def pods_answer(workspace: Workspace, pods: list[Obj], port: int) -> Finding:
    """Every Pod answers HTTP at its own address, asked from the node."""
    silent = []
    for pod in pods[:5]:
        requests = workspace.request(f"http://{looking.ip_of(pod)}:{port}/")
        if not looking.answered(requests):
            silent.append(f"{name_of(pod)} at {looking.ip_of(pod)}: {looking.describe_answers(requests)}")
    seen = "; ".join(silent) or f"asked {looking.describe(pods)}: every Pod answered"
    return Finding(
        f"Each of its Pods answers HTTP on port {port}, asked from the node.",
        seen,
        bool(pods) and not silent,
        "The Pod runs, but nothing in it serves HTTP there.",
        points=2,
        hints=(
            "Ask a Pod directly, by its own address, from the node. Does it answer?",
            f"From the node I got: {seen}.",
            f"The program in the container has to listen on port {port}; its log tells what it does.",
        ),
    )
