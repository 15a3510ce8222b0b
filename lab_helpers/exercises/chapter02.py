"""Chapter 2: a Deployment, a ClusterIP in front of it, and a Pod whose death nobody behind the ClusterIP notices.

The exercises are those of the article: deployhttpd is ready, demo-service answers from the node, and goes on
answering at the same address when its Pod is replaced by one with another address.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..pocketkube.objects import Obj, is_deleting, name_of
from . import deployments, looking, services
from .exercise import Chapter, Exercise, Finding
from .workspace import Workspace

DEPLOYMENT, SERVICE, PORT = "deployhttpd", "demo-service", 80

DEPLOY = "kubectl apply -f manifests/deployHttpd.yml"
ROLLED_OUT = f"kubectl rollout status deployment/{DEPLOYMENT} --timeout=60s"
EXPOSE = "kubectl apply -f manifests/service.yml"
KILL = "kubectl delete pod -l name=deployment"


def observe(workspace: Workspace) -> None:
    """Notes the Service's identity and address when first seen, and every ready Pod it was seen with."""
    service = workspace.reader.get("services", SERVICE)
    if service is None:
        return
    anchor = workspace.memory.setdefault("service", _identity(service))
    if anchor["uid"] != service["metadata"]["uid"]:
        return
    backends = _backends(workspace, service)
    together = {str(pod["metadata"]["uid"]) for pod in backends}
    seen = workspace.memory.setdefault("pods", {})
    for pod in backends:
        uid = str(pod["metadata"]["uid"])
        beside = together.union(seen.get(uid, {}).get("beside", ())) - {uid}
        seen[uid] = {"name": name_of(pod), "ip": looking.ip_of(pod), "beside": sorted(beside)}


def check_deployment(workspace: Workspace) -> Sequence[Finding]:
    """2.1: the Deployment is rolled out, and its Pods are httpd servers that answer."""
    deployment = workspace.reader.get("deployments", DEPLOYMENT)
    if deployment is None:
        return [deployments.missing(workspace, DEPLOYMENT)]
    pods = looking.pods_of_deployment(workspace, deployment)
    rolled_out = deployments.rolled_out(deployment, pods)
    if not rolled_out.passed:
        return [rolled_out, deployments.runs_image(deployment, "httpd")]
    return [
        rolled_out,
        deployments.runs_image(deployment, "httpd"),
        deployments.pods_answer(workspace, looking.ready(pods), PORT),
    ]


def check_service(workspace: Workspace) -> Sequence[Finding]:
    """2.2: the Service has a virtual IP, Pods behind it, rules for it, and answers from the node."""
    service = workspace.reader.get("services", SERVICE)
    if service is None:
        return [services.missing(workspace, SERVICE)]
    address = services.has_address(service, PORT)
    if not address.passed:
        return [address]
    backends = services.has_backends(workspace, service, DEPLOYMENT)
    if not backends.passed:
        return [address, backends]
    rules = services.has_rules(workspace, SERVICE)
    if not rules.passed:
        return [address, backends, rules]
    answers = services.answers(workspace, service, PORT, points=2)
    if answers.passed:
        _anchor(workspace, service)
    return [address, backends, rules, answers]


def check_replacement(workspace: Workspace) -> Sequence[Finding]:
    """2.3: a Pod the lab had seen is gone, another took over, and the Service is the same and answers."""
    service = workspace.reader.get("services", SERVICE)
    if service is None:
        return [services.missing(workspace, SERVICE)]
    same = _same_service(workspace, service)
    if not same.passed:
        return [same]
    replaced = _pod_replaced(workspace, service)
    return [same, replaced, *([services.answers(workspace, service, PORT, points=1)] if replaced.passed else [])]


def _same_service(workspace: Workspace, service: Obj) -> Finding:
    before, now = workspace.memory.get("service"), _identity(service)
    expected = f"{SERVICE} is the Service that exercise 2.2 saw, with the same ClusterIP."
    if not before or not workspace.memory.get("pods"):
        return Finding(
            expected,
            "the lab has not seen the Service together with a ready Pod yet",
            False,
            "To tell what changed, the lab needs to know what was there before.",
            hints=(
                "This exercise compares before and after. What is `before`?",
                "The lab notes addresses when it checks exercise 2.2. That has not happened with this Service yet.",
                "Let exercise 2.2 be checked first, then lose a Pod.",
            ),
        )
    return Finding(
        expected,
        f"before: {before['ip']}, now: {now['ip']}" + ("" if before["uid"] == now["uid"] else ", another Service"),
        before == now,
        "The Service itself was deleted and made again. Its address is only as lasting as the Service.",
        hints=(
            "Compare the Service's age with the age of your exercise 2.2.",
            "This Service has another uid than the one of exercise 2.2: it was made anew.",
            "Let exercise 2.2 be checked with this Service; then a Pod has to go, and the Service has to stay.",
        ),
    )


def _pod_replaced(workspace: Workspace, service: Obj) -> Finding:
    seen: dict[str, dict[str, Any]] = workspace.memory["pods"]
    alive = {pod["metadata"]["uid"] for pod in workspace.reader.list("pods") if not is_deleting(pod)}
    lost = {uid: pod for uid, pod in seen.items() if uid not in alive}
    fresh = [pod for pod in _backends(workspace, service) if _replaces_one(pod, lost, seen)]
    gone = list(lost.values())
    was = ", ".join(f"{pod['name']} ({pod['ip']})" for pod in gone) or "no Pod is gone"
    observed = (
        f"gone: {was}; in its place: {looking.describe(fresh)}" if gone else "every Pod seen before is still there"
    )
    wanted = _replicas(workspace)
    meaning = "A Pod went, and its replacement is not ready yet." if gone and wanted else ""
    if not gone:
        meaning = "Nothing happened to the Pods since the lab saw them."
    elif not wanted:
        meaning = "The Pod went, and nothing replaces it: the Deployment asks for no Pod."
    return Finding(
        "A Pod that the lab saw behind the Service is gone; a new, ready one with another IP took over.",
        observed,
        bool(gone and fresh),
        meaning,
        points=2,
        waiting=bool(gone) and wanted > 0,
        hints=(
            "Which Pods does the Deployment have, and how old are they?",
            f"I see: {observed}. {meaning}",
            "A Deployment replaces every Pod that is deleted, as long as it asks for at least one. "
            "A container that restarts inside its Pod keeps the Pod's address.",
        ),
    )


def _replaces_one(pod: Obj, lost: dict[str, dict[str, Any]], seen: dict[str, dict[str, Any]]) -> bool:
    """True if a Pod was never seen beside one of the lost ones, and has another address than that one."""
    beside = seen.get(str(pod["metadata"]["uid"]), {}).get("beside", ())
    return any(uid not in beside and looking.ip_of(pod) != old["ip"] for uid, old in lost.items())


def _identity(service: Obj) -> dict[str, str]:
    return {"uid": str(service["metadata"]["uid"]), "ip": str(service["spec"].get("clusterIP") or "")}


def _anchor(workspace: Workspace, service: Obj) -> None:
    """Makes this Service the one to compare with; another one than before begins a new story."""
    identity = _identity(service)
    if workspace.memory.get("service") != identity:
        workspace.memory.update(service=identity, pods={})
    observe(workspace)


def _backends(workspace: Workspace, service: Obj) -> list[Obj]:
    """The ready Pods that the Service selects."""
    return looking.ready(looking.selected(workspace, service))


def _replicas(workspace: Workspace) -> int:
    deployment = workspace.reader.get("deployments", DEPLOYMENT)
    return int(deployment["spec"].get("replicas", 1)) if deployment else 0


CHAPTER = Chapter(
    2,
    "ClusterIP: one address for Pods that come and go",
    (
        Exercise(
            id="2.1",
            title="The Deployment is ready",
            task=f"Bring the Deployment {DEPLOYMENT} of the article to the cluster: its Pods run httpd and answer.",
            points=3,
            check=check_deployment,
            solution=(DEPLOY, ROLLED_OUT),
            wrong={
                "nothing was done": (),
                "a misspelt image": (f"kubectl create deployment {DEPLOYMENT} --image=htppd",),
                "a Pod without a Deployment": (
                    f"kubectl run {DEPLOYMENT} --image=httpd",
                    f"kubectl wait --for=condition=Ready pod/{DEPLOYMENT} --timeout=60s",
                ),
                "scaled to zero": (DEPLOY, f"kubectl scale deployment/{DEPLOYMENT} --replicas=0"),
                "another name": ("kubectl create deployment deployhttp --image=httpd",),
            },
        ),
        Exercise(
            id="2.2",
            title="The Service answers on its ClusterIP",
            task=f"Bring the Service {SERVICE} to the cluster. Its ClusterIP answers the node on port {PORT}.",
            points=4,
            check=check_service,
            setup=(DEPLOY, ROLLED_OUT),
            solution=(EXPOSE,),
            wrong={
                "nothing was done": (),
                "a selector that matches no Pod": (
                    f"kubectl create service clusterip {SERVICE} --tcp=80:80",
                    f"kubectl set selector service {SERVICE} name=deploymnt",
                ),
                "a wrong targetPort": (
                    f"kubectl expose deployment {DEPLOYMENT} --name={SERVICE} --port=80 --target-port=8080",
                ),
                "a wrong port": (
                    f"kubectl expose deployment {DEPLOYMENT} --name={SERVICE} --port=8080 --target-port=80",
                ),
                "a headless Service": (
                    f"kubectl expose deployment {DEPLOYMENT} --name={SERVICE} --port=80 --cluster-ip=None",
                ),
                "Pods of somebody else": (
                    "kubectl run stranger --image=httpd --labels=who=stranger",
                    "kubectl wait --for=condition=Ready pod/stranger --timeout=60s",
                    f"kubectl expose pod stranger --name={SERVICE} --port=80",
                ),
            },
        ),
        Exercise(
            id="2.3",
            title="The Pod changes, the ClusterIP stays",
            task="Lose a Pod. Its successor has another IP; the ClusterIP is the same and answers.",
            points=3,
            check=check_replacement,
            setup=(DEPLOY, ROLLED_OUT, EXPOSE),
            solution=(KILL, ROLLED_OUT),
            wrong={
                "nothing was done": (),
                "the Service was made again": (
                    f"kubectl delete service {SERVICE}",
                    EXPOSE,
                    KILL,
                    ROLLED_OUT,
                ),
                "no Pod is left": (
                    f"kubectl scale deployment/{DEPLOYMENT} --replicas=0",
                    "kubectl wait --for=delete pod -l name=deployment --timeout=60s",
                ),
                "a second Pod beside the first": (
                    f"kubectl scale deployment/{DEPLOYMENT} --replicas=2",
                    ROLLED_OUT,
                ),
                "the Service is gone": (f"kubectl delete service {SERVICE}",),
            },
        ),
    ),
    observe,
)
