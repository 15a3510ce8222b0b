"""kubectl makes and changes objects: create, edit, patch, label, replace, diff, apply, set, rollout, delete."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from kubectls import Kubectl, eventually

pytestmark = [pytest.mark.kernel, pytest.mark.kubectl]

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: ssa}
spec:
  replicas: %d
  selector: {matchLabels: {app: ssa}}
  template:
    metadata: {labels: {app: ssa}}
    spec: {containers: [{name: h, image: httpd}]}
"""


def read(k: Kubectl, *what: str) -> Any:
    return json.loads(k("get", *what, "-o", "json"))


@pytest.mark.parametrize(
    ("command", "kind", "field", "value"),
    [
        ("deployment x --image=httpd --replicas=0 --port=80", "deploy", "{..containers[0].name}", "httpd"),
        ("configmap x --from-literal=a=b", "cm", "{.data.a}", "b"),
        ("secret generic x --from-literal=a=b", "secret", "{.data.a}", "Yg=="),
        ("secret docker-registry x --docker-username=a --docker-password=b", "secret", "{.metadata.name}", "x"),
        ("service clusterip x --tcp=80:8080", "svc", "{.spec.ports[0].targetPort}", "8080"),
        ("service clusterip x --clusterip=None", "svc", "{.spec.clusterIP}", "None"),
        ("service nodeport x --tcp=80", "svc", "{.spec.type}", "NodePort"),
        ("service loadbalancer x --tcp=80", "svc", "{.spec.type}", "LoadBalancer"),
        ("service externalname x --external-name=example.com", "svc", "{.spec.externalName}", "example.com"),
        ("serviceaccount x", "sa", "{.metadata.name}", "x"),
        ("quota x --hard=pods=100,services=5", "quota", "{.spec.hard.pods}", "100"),
        ("ingress x --rule=a.example/=web:80", "ing", "{.spec.rules[0].host}", "a.example"),
        ("role x --verb=get --resource=pods", "role", "{.rules[0].resources[0]}", "pods"),
        ("rolebinding x --role=y --serviceaccount=z:sa", "rolebinding", "{.subjects[0].namespace}", "z"),
        ("job x --image=busybox -- true", "job", "{.spec.template.spec.restartPolicy}", "Never"),
        ("cronjob x --image=busybox --schedule=@daily -- true", "cj", "{.spec.schedule}", "@daily"),
        ("poddisruptionbudget x --selector=app=web --min-available=1", "pdb", "{.spec.minAvailable}", "1"),
    ],
)  # fmt: skip
def test_create(k: Kubectl, command: str, kind: str, field: str, value: str) -> None:
    assert k("create", *command.split()).endswith("/x created\n")
    assert k("get", kind, "x", "-o", f"jsonpath={field}") == value


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("namespace clients-x", "namespace"),
        ("clusterrole clients-x --verb=get --resource=nodes", "clusterrole"),
        ("clusterrolebinding clients-x --clusterrole=y --serviceaccount=z:sa", "clusterrolebinding"),
        ("priorityclass clients-x --value=5", "priorityclass"),
    ],
)
def test_create_what_has_no_namespace(k: Kubectl, command: str, kind: str) -> None:
    assert k("create", *command.split()).endswith("/clients-x created\n")
    assert k("get", kind, "clients-x", "-o", "name").endswith("/clients-x\n")
    k("delete", kind, "clients-x", "--wait=false")


def test_create_a_token_that_opens_the_api(k: Kubectl) -> None:
    token = k("create", "token", "default")
    # Without the admin's certificate, which would say who we are before the token does.
    nobody = k.within(k.namespace, KUBECONFIG="/dev/null")
    where = k("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")
    said = nobody("--server", where, "--insecure-skip-tls-verify", "--token", token, "auth", "whoami")
    assert f"system:serviceaccount:{k.namespace}:default" in said


def test_edit(k: Kubectl, tmp_path: Path) -> None:
    k("create", "deployment", "web", "--image=httpd", "--replicas=0")
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nexec sed -i 's/revisionHistoryLimit: 10/revisionHistoryLimit: 3/' \"$1\"\n")
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    editing = k.within(k.namespace, KUBE_EDITOR=str(editor))
    assert editing("edit", "deploy", "web") == "deployment.apps/web edited\n"
    assert read(k, "deploy", "web")["spec"]["revisionHistoryLimit"] == 3
    assert "Edit cancelled, no changes made." in editing.run("edit", "deploy", "web").stderr


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("strategic", {"spec": {"template": {"spec": {"containers": [{"name": "httpd", "tty": True}]}}}}),
        ("merge", {"spec": {"template": {"spec": {"containers": [{"name": "httpd", "image": "httpd", "tty": True}]}}}}),
        ("json", [{"op": "add", "path": "/spec/template/spec/containers/0/tty", "value": True}]),
    ],
)
def test_patch(k: Kubectl, kind: str, patch: Any) -> None:
    k("create", "deployment", "web", "--image=httpd", "--replicas=0")
    assert k("patch", "deploy", "web", f"--type={kind}", "-p", json.dumps(patch)) == "deployment.apps/web patched\n"
    container = read(k, "deploy", "web")["spec"]["template"]["spec"]["containers"][0]
    assert (container["image"], container["tty"]) == ("httpd", True)
    assert "(no change)" in k("patch", "deploy", "web", "-p", '{"spec":{"replicas":0}}')


def test_patch_the_scale(k: Kubectl) -> None:
    k("create", "deployment", "web", "--image=httpd", "--replicas=0")
    patch = '{"spec":{"replicas":1}}'
    k("patch", "deploy", "web", "--subresource=scale", "--type=merge", "-p", patch)
    assert read(k, "deploy", "web")["spec"]["replicas"] == 1


def test_label_and_annotate(k: Kubectl) -> None:
    k("create", "configmap", "c")
    assert k("label", "cm", "c", "tier=front") == "configmap/c labeled\n"
    assert "'tier' already has a value (front), and --overwrite is false" in k.refused("label", "cm", "c", "tier=x")
    k("label", "cm", "c", "tier=back", "--overwrite")
    assert k("get", "cm", "-l", "tier in (back)", "-L", "tier", "--no-headers").split()[-1] == "back"
    assert k("label", "cm", "c", "tier-") == "configmap/c unlabeled\n"
    k("annotate", "cm", "c", "note=hello")
    assert k("annotate", "cm", "c", "--list") == "note=hello\n"
    assert "a valid label must be" in k.refused("label", "cm", "c", "tier=not valid")


def test_replace_and_diff(k: Kubectl, tmp_path: Path) -> None:
    k("create", "configmap", "c", "--from-literal=a=b")
    file = tmp_path / "c.yml"
    old = k("get", "cm", "c", "-o", "yaml")
    file.write_text(old.replace("a: b", "a: z"))
    differing = k.run("diff", "-f", str(file))
    assert (differing.returncode, "-  a: b\n+  a: z\n" in differing.stdout) == (1, True)
    assert read(k, "cm", "c")["data"] == {"a": "b"}, "diff changes nothing"
    assert k("replace", "-f", str(file)) == "configmap/c replaced\n"
    assert k("diff", "-f", str(file)) == ""
    file.write_text(old)
    conflict = k.refused("replace", "-f", str(file))
    assert "the object has been modified; please apply your changes to the latest version and try again" in conflict
    assert "configmap/c replaced" in k("replace", "--force", "-f", str(file))
    assert read(k, "cm", "c")["data"] == {"a": "b"}


def test_server_side_apply_and_its_conflicts(k: Kubectl, tmp_path: Path) -> None:
    file = tmp_path / "d.yml"
    file.write_text(DEPLOYMENT % 0)
    assert k("apply", "--server-side", "-f", str(file)) == "deployment.apps/ssa serverside-applied\n"
    k("scale", "deploy", "ssa", "--replicas=1")
    file.write_text(DEPLOYMENT % 2)
    said = k.refused("apply", "--server-side", "-f", str(file))
    assert 'conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas' in said
    assert read(k, "deploy", "ssa")["spec"]["replicas"] == 1
    k("apply", "--server-side", "-f", str(file), "--force-conflicts")
    assert read(k, "deploy", "ssa")["spec"]["replicas"] == 2
    assert k("diff", "--server-side", "-f", str(file)) == ""
    other = k.refused("apply", "--server-side", "--field-manager=other", "-f", "-", input=DEPLOYMENT % 3)
    assert 'conflict with "kubectl": .spec.replicas' in other
    managed = json.loads(k("get", "deploy", "ssa", "-o", "json", "--show-managed-fields"))["metadata"]["managedFields"]
    assert ("kubectl", "Apply") in {(entry["manager"], entry["operation"]) for entry in managed}


def test_apply_remembers_and_prunes_fields(k: Kubectl) -> None:
    manifest = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {%s}}"
    assert k("apply", "-f", "-", input=manifest % "a: b, c: d") == "configmap/c created\n"
    assert k("apply", "-f", "-", input=manifest % "a: b, c: d") == "configmap/c unchanged\n"
    assert k("apply", "-f", "-", input=manifest % "a: z") == "configmap/c configured\n"
    assert read(k, "cm", "c")["data"] == {"a": "z"}
    assert "a: z" in k("apply", "view-last-applied", "cm", "c")


def test_apply_tells_what_is_wrong(k: Kubectl) -> None:
    manifest = "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {prots: [], ports: [{port: 0}]}}"
    assert 'unknown field "spec.prots"' in k.refused("apply", "-f", "-", input=manifest)
    said = k.refused("apply", "--validate=ignore", "-f", "-", input=manifest)
    assert "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive" in said


def test_kustomize(k: Kubectl, tmp_path: Path) -> None:
    generator = "configMapGenerator:\n- {name: g, literals: [a=b]}\n"
    (tmp_path / "kustomization.yaml").write_text(f"namePrefix: z-\nresources: [r.yml]\n{generator}")
    (tmp_path / "r.yml").write_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: r}}")
    assert "name: z-r\n" in k("kustomize", str(tmp_path))
    made = k("apply", "-k", str(tmp_path))
    assert "configmap/z-r created" in made and "configmap/z-g-" in made
    k("delete", "-k", str(tmp_path))
    assert k("get", "cm", "-o", "name") == "configmap/kube-root-ca.crt\n"


def test_set_and_rollout(k: Kubectl) -> None:
    k("create", "deployment", "web", "--image=httpd", "--replicas=2")
    k("rollout", "status", "deploy/web")
    assert k("set", "image", "deploy/web", "httpd=nginx:1.25") == "deployment.apps/web image updated\n"
    k("annotate", "deploy/web", "kubernetes.io/change-cause=to nginx")
    k("rollout", "status", "deploy/web")
    history = k("rollout", "history", "deploy/web").splitlines()
    assert [row.split(maxsplit=1) for row in history[2:4]] == [["1", "<none>"], ["2", "to nginx"]]
    assert "nginx:1.25" in k("rollout", "history", "deploy/web", "--revision=2")
    k("rollout", "pause", "deploy/web")
    assert "already paused" in k.refused("rollout", "pause", "deploy/web")
    k("set", "env", "deploy/web", "A=b")
    observed = read(k, "deploy", "web")["metadata"]["generation"]
    eventually(lambda: read(k, "deploy", "web")["status"].get("observedGeneration", 0) >= observed, "seen while paused")
    assert len(k("get", "rs", "-o", "name").split()) == 2, "a paused Deployment makes no new ReplicaSet"
    k("rollout", "resume", "deploy/web")
    k("rollout", "status", "deploy/web")
    assert len(k("get", "rs", "-o", "name").split()) == 3
    assert k("rollout", "undo", "deploy/web", "--to-revision=1") == "deployment.apps/web rolled back\n"
    k("rollout", "restart", "deploy/web")
    k("rollout", "status", "deploy/web")
    container = read(k, "deploy", "web")["spec"]["template"]["spec"]["containers"][0]
    assert (container["image"], "env" in container) == ("httpd", False)
    assert "unable to find specified revision 99" in k.refused("rollout", "undo", "deploy/web", "--to-revision=99")


def test_set_the_other_things(k: Kubectl) -> None:
    k("create", "deployment", "web", "--image=httpd", "--replicas=0")
    k("create", "service", "clusterip", "web", "--tcp=80")
    k("set", "resources", "deploy/web", "--limits=cpu=200m,memory=64Mi", "--requests=cpu=10m")
    k("set", "serviceaccount", "deploy/web", "default")
    k("set", "selector", "svc", "web", "tier=front")
    spec = read(k, "deploy", "web")["spec"]["template"]["spec"]
    assert spec["containers"][0]["resources"]["limits"] == {"cpu": "200m", "memory": "64Mi"}
    assert (spec["serviceAccountName"], read(k, "svc", "web")["spec"]["selector"]) == ("default", {"tier": "front"})


def test_what_is_left_out_is_refused_clearly(k: Kubectl) -> None:
    k("create", "deployment", "web", "--image=httpd", "--replicas=0")
    said = k.refused("autoscale", "deploy/web", "--max=3", "--min=1", "--cpu=50%")
    assert "Error from server (MethodNotAllowed): this cluster has no autoscaler" in said
    assert "Warning: this cluster has no autoscaler" in k.refused("autoscale", "deploy/web", "--max=3")
    assert k.refused("top", "pods") == "error: Metrics API not available\n"
    assert k.refused("top", "nodes") == "error: Metrics API not available\n"


def test_delete_leaves_orphans_or_waits_for_dependents(k: Kubectl) -> None:
    k("apply", "-f", "-", input=DEPLOYMENT % 1)
    k("rollout", "status", "deploy/ssa")
    k("delete", "deploy", "ssa", "--cascade=orphan")
    (left,) = read(k, "rs")["items"]
    assert "ownerReferences" not in left["metadata"]
    k("delete", "rs", "-l", "app=ssa", "--cascade=foreground")
    assert k("get", "pods", "-o", "name") == ""


def test_a_kind_that_does_not_exist_is_told_as_anywhere(kubectl: Kubectl, tmp_path: Path) -> None:
    manifest = tmp_path / "typo.yml"
    manifest.write_text("apiVersion: v1\nkind: Svc\nmetadata: {name: x}\n")
    refused = kubectl.run("apply", "-f", str(manifest))
    assert refused.returncode == 1
    assert 'no matches for kind "Svc" in version "v1"' in refused.stderr
    assert "validate=false" not in refused.stderr
