"""A container's variables and files: from the image, Services, ConfigMaps, Secrets and the Pod itself."""

from __future__ import annotations

import asyncio
import base64
import os
from pathlib import Path
from typing import Any

import pytest

from lab_helpers.pocketkube.config import ClusterConfig
from lab_helpers.pocketkube.kubelet.environment import CreateContainerConfigError, expand, make_environment
from lab_helpers.pocketkube.kubelet.host_disk import HostDisk
from lab_helpers.pocketkube.kubelet.hosts_files import (
    HostnameTooLong,
    hostname_of,
    hosts_file,
    machine_name_of,
    resolv_conf,
)
from lab_helpers.pocketkube.kubelet.pod_status import PodFacts
from lab_helpers.pocketkube.kubelet.volumes import VolumeError, Volumes
from lab_helpers.pocketkube.objects import Obj

FACTS = PodFacts(node_ip="192.168.49.2", pod_ip="10.244.0.5")


class Shelf:
    """ConfigMaps and Secrets, and tokens for everybody."""

    def __init__(self, *objects: Obj) -> None:
        self._objects = {(o["kind"].lower() + "s", o["metadata"]["name"]): o for o in objects}

    async def find(self, resource: str, namespace: str, name: str) -> Obj | None:
        return self._objects.get((resource, name))

    async def token(self, pod: Obj, audience: str, expiration_seconds: int) -> str:
        return f"token for {audience or 'the API server'} for {expiration_seconds} s"


CONFIG = {"kind": "ConfigMap", "metadata": {"name": "conf"}, "data": {"a": "1", "b": "two", "bad=key": "x"}}
SECRET = {"kind": "Secret", "metadata": {"name": "key"}, "data": {"password": base64.b64encode(b"hush").decode()}}


def service(name: str, ip: str, *ports: Obj, namespace: str = "default") -> Obj:
    return {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": ip, "ports": [*ports]}}


def pod(**spec: Any) -> Obj:
    return {
        "metadata": {
            "name": "web",
            "namespace": "default",
            "uid": "u-1",
            "labels": {"app": "web", "tier": 'say "hi"'},
            "annotations": {},
        },
        "spec": {"containers": [{"name": "app"}], "nodeName": "lab", "serviceAccountName": "default", **spec},
    }


def environment(container: Obj, services: list[Obj] | None = None, owner: Obj | None = None) -> dict[str, str]:
    shelf = Shelf(CONFIG, SECRET)
    return asyncio.run(make_environment(owner or pod(), container, {"PATH": "/bin"}, services or [], shelf, FACTS))


def test_services_of_the_namespace_are_named_with_all_their_ports() -> None:
    web = service("demo-service", "10.96.0.20", {"port": 80, "name": "http"}, {"port": 53, "protocol": "UDP"})
    env = environment({}, [web])
    assert env == {
        "PATH": "/bin",
        "DEMO_SERVICE_SERVICE_HOST": "10.96.0.20",
        "DEMO_SERVICE_SERVICE_PORT": "80",
        "DEMO_SERVICE_SERVICE_PORT_HTTP": "80",
        "DEMO_SERVICE_PORT": "tcp://10.96.0.20:80",
        "DEMO_SERVICE_PORT_80_TCP": "tcp://10.96.0.20:80",
        "DEMO_SERVICE_PORT_80_TCP_PROTO": "tcp",
        "DEMO_SERVICE_PORT_80_TCP_PORT": "80",
        "DEMO_SERVICE_PORT_80_TCP_ADDR": "10.96.0.20",
        "DEMO_SERVICE_PORT_53_UDP": "udp://10.96.0.20:53",
        "DEMO_SERVICE_PORT_53_UDP_PROTO": "udp",
        "DEMO_SERVICE_PORT_53_UDP_PORT": "53",
        "DEMO_SERVICE_PORT_53_UDP_ADDR": "10.96.0.20",
    }


def test_headless_services_and_other_namespaces_are_left_out_but_never_the_api_server() -> None:
    services = [
        service("headless", "None", {"port": 80}),
        service("elsewhere", "10.96.0.9", {"port": 80}, namespace="other"),
        service("kubernetes", "10.96.0.1", {"port": 443, "name": "https"}),
        service("web", "10.96.0.8", {"port": 80}),
    ]
    linked = environment({}, services)
    assert linked["KUBERNETES_SERVICE_PORT_HTTPS"] == "443" and linked["WEB_SERVICE_HOST"] == "10.96.0.8"
    assert not any(key.startswith(("HEADLESS", "ELSEWHERE")) for key in linked)
    unlinked = environment({}, services, pod(enableServiceLinks=False))
    assert "WEB_SERVICE_HOST" not in unlinked and unlinked["KUBERNETES_SERVICE_HOST"] == "10.96.0.1"


def test_variables_come_from_all_their_sources_and_later_ones_win() -> None:
    container = {
        "envFrom": [
            {"configMapRef": {"name": "conf"}, "prefix": "C_"},
            {"secretRef": {"name": "key"}},
            {"configMapRef": {"name": "nosuch", "optional": True}},
        ],
        "env": [
            {"name": "PATH", "value": "/mine"},
            {"name": "GREETING", "value": "$(C_b) at $(IP), $$(C_b), $(NOSUCH)"},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "URL", "value": "http://$(IP)"},
            {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "a"}}},
            {"name": "P", "valueFrom": {"secretKeyRef": {"name": "key", "key": "password"}}},
            {"name": "NONE", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "z", "optional": True}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
        ],
        "resources": {"limits": {"cpu": "250m"}},
    }
    env = environment(container)
    assert env == {
        "PATH": "/mine",
        "C_a": "1",
        "C_b": "two",
        "password": "hush",
        "GREETING": "two at $(IP), $(C_b), $(NOSUCH)",
        "IP": "10.244.0.5",
        "URL": "http://10.244.0.5",
        "LABEL": "web",
        "A": "1",
        "P": "hush",
        "CPU": "250",
    }


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"configMapKeyRef": {"name": "nosuch", "key": "a"}}, 'configmap "nosuch" not found'),
        ({"secretKeyRef": {"name": "nosuch", "key": "a"}}, 'secret "nosuch" not found'),
        ({"configMapKeyRef": {"name": "conf", "key": "z"}}, "couldn't find key z in ConfigMap default/conf"),
    ],
)
def test_a_missing_source_is_named(source: Obj, message: str) -> None:
    with pytest.raises(CreateContainerConfigError, match=message):
        environment({"env": [{"name": "X", "valueFrom": source}]})


def test_an_expansion_leaves_what_it_does_not_know() -> None:
    assert expand("$(A)-$(B)-$$(A)-$A-$(", {"A": "1"}) == "1-$(B)-$(A)-$A-$("


def test_hosts_file_names_the_pod_and_its_aliases() -> None:
    owner = pod(hostname="db", subdomain="dbs", hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a", "b"]}])
    text = hosts_file(owner, "10.244.0.5", "cluster.local")
    assert text.startswith("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")
    assert "\n10.244.0.5\tdb.dbs.default.svc.cluster.local\tdb\n" in text
    assert text.endswith("# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")
    assert hostname_of({"metadata": {"name": "n" * 70}, "spec": {}}) == "n" * 63
    host = pod(hostNetwork=True, hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a"]}])
    assert hosts_file(host, "", "cluster.local", "127.0.0.1\tnode\n") == (
        "# Kubernetes-managed hosts file (host network).\n127.0.0.1\tnode\n"
        "\n# Entries added by HostAliases.\n1.2.3.4\ta\n"
    )


def test_the_machines_name_is_the_pods_its_whole_name_or_the_nodes() -> None:
    named = {"hostname": "db", "subdomain": "dbs"}
    assert machine_name_of(pod(**named), "node", "cluster.local") == "db"
    whole = machine_name_of(pod(**named, setHostnameAsFQDN=True), "node", "cluster.local")
    assert whole == "db.dbs.default.svc.cluster.local"
    assert machine_name_of(pod(hostNetwork=True), "node", "cluster.local") == "node"
    with pytest.raises(HostnameTooLong, match="is too long .64 characters is the max, 91 characters requested."):
        machine_name_of(pod(hostname="d" * 61, subdomain="dbs", setHostnameAsFQDN=True), "node", "cluster.local")


def test_resolv_conf_follows_the_dns_policy(tmp_path: Path) -> None:
    config = ClusterConfig(name="lab", state_dir=tmp_path)
    assert resolv_conf(pod(), config) == (
        "search default.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n"
    )
    assert resolv_conf(pod(dnsPolicy="Default"), config) == ""
    own = pod(dnsPolicy="None", dnsConfig={"nameservers": ["1.1.1.1"], "options": [{"name": "ndots", "value": "2"}]})
    assert resolv_conf(own, config) == "nameserver 1.1.1.1\noptions ndots:2\n"
    more = pod(dnsConfig={"searches": ["x"], "options": [{"name": "ndots", "value": "1"}, {"name": "edns0"}]})
    assert resolv_conf(more, config).splitlines()[0].endswith("cluster.local x")
    assert resolv_conf(more, config).splitlines()[2] == "options ndots:1 edns0"


def test_volumes_are_made_from_all_sources(tmp_path: Path) -> None:
    owner = pod(
        volumes=[
            {"name": "empty", "emptyDir": {}},
            {"name": "conf", "configMap": {"name": "conf", "items": [{"key": "a", "path": "x/a", "mode": 0o600}]}},
            {"name": "key", "secret": {"secretName": "key", "defaultMode": 0o400}},
            {"name": "facts", "downwardAPI": {"items": [_field("labels", "metadata.labels")]}},
            {
                "name": "api",
                "projected": {
                    "sources": [
                        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
                        {"configMap": {"name": "conf", "items": [{"key": "b", "path": "ca.crt"}]}},
                        {"downwardAPI": {"items": [_field("namespace", "metadata.namespace")]}},
                        {"configMap": {"name": "nosuch", "optional": True}},
                    ]
                },
            },
        ]
    )
    shelf = Shelf(CONFIG, SECRET)
    volumes = Volumes(tmp_path, shelf, shelf)
    asyncio.run(volumes.make(owner, FACTS))
    names = ("empty", "conf", "key", "facts", "api")
    container = {"volumeMounts": [{"name": name, "mountPath": f"/{name}"} for name in names]}
    mounts = {mount.path: mount for mount in volumes.mounts(owner, container, {})}
    assert [mounts[f"/{name}"].read_only for name in names] == [False, True, True, True, True]
    assert not [*mounts["/empty"].source.iterdir()]
    assert (mounts["/conf"].source / "x/a").read_text() == "1"
    assert (mounts["/conf"].source / "x/a").stat().st_mode & 0o777 == 0o600
    assert (mounts["/key"].source / "password").read_text() == "hush"
    assert (mounts["/key"].source / "password").stat().st_mode & 0o777 == 0o400
    assert (mounts["/facts"].source / "labels").read_text() == 'app="web"\ntier="say \\"hi\\""'
    files = shown(mounts["/api"].source)
    assert files == {"token": "token for the API server for 3607 s", "ca.crt": "two", "namespace": "default"}


def shown(folder: Path) -> dict[str, str]:
    """The files of a volume that its user is to see."""
    return {path.name: path.read_text() for path in folder.iterdir() if not path.name.startswith("..")}


def test_all_files_of_a_volume_change_at_once_and_a_mount_of_one_file_keeps_the_old(tmp_path: Path) -> None:
    owner = pod(volumes=[{"name": "conf", "configMap": {"name": "conf"}}])
    folder = tmp_path / "volumes/conf"

    def make(**data: str) -> Volumes:
        shelf = Shelf({"kind": "ConfigMap", "metadata": {"name": "conf"}, "data": data})
        volumes = Volumes(tmp_path, shelf, shelf)
        asyncio.run(volumes.make(owner, FACTS))
        return volumes

    volumes = make(a="1", b="1")
    (one,) = volumes.mounts(owner, {"volumeMounts": [{"name": "conf", "mountPath": "/a", "subPath": "a"}]}, {})
    with one.source.open() as reader:
        first = (folder / "..data").readlink()
        make(a="1", b="1")
        assert (folder / "..data").readlink() == first, "nothing has changed"
        make(a="2", b="2")
        assert (folder / "a").readlink() == Path("..data/a")
        assert (folder / "..data").readlink() != first
        assert not (folder / first).exists()
        assert reader.read() == "1"


def test_modes_follow_the_item_and_the_group(tmp_path: Path) -> None:
    items = [_field("a", "metadata.name") | {"mode": 0o400}, _field("b", "metadata.name")]
    sources = [{"downwardAPI": {"items": items}}, {"serviceAccountToken": {"path": "token"}}]
    volumes = [{"name": "all", "projected": {"defaultMode": 0o640, "sources": sources}}, {"name": "e", "emptyDir": {}}]

    def modes(folder: Path, **spec: Any) -> dict[str, int]:
        shelf = Shelf()
        asyncio.run(Volumes(folder, shelf, shelf).make(pod(volumes=volumes, **spec), FACTS))
        names = {"a": "volumes/all/a", "b": "volumes/all/b", "token": "volumes/all/token", "e": "volumes/e"}
        return {name: (folder / path).stat().st_mode & 0o7777 for name, path in names.items()}

    assert modes(tmp_path / "plain") == {"a": 0o400, "b": 0o640, "token": 0o640, "e": 0o777}
    with_group = modes(tmp_path / "group", securityContext={"fsGroup": os.getegid()})
    assert with_group == {"a": 0o440, "b": 0o640, "token": 0o640, "e": 0o2777}
    assert modes(tmp_path / "user", securityContext={"runAsUser": os.geteuid()})["token"] == 0o600


def test_host_paths_are_those_of_a_disk_of_the_nodes_own(tmp_path: Path) -> None:
    disk = HostDisk(tmp_path / "disk", "127.0.0.1\tnode\n")
    shelf = Shelf()

    def mount(path: str, kind: str = "", sub_path: str = "") -> Path:
        owner = pod(volumes=[{"name": "host", "hostPath": {"path": path, "type": kind}}])
        volumes = Volumes(tmp_path / "pod", shelf, shelf, disk)
        asyncio.run(volumes.make(owner, FACTS))
        wanted = {"name": "host", "mountPath": "/x", "subPath": sub_path}
        return volumes.mounts(owner, {"volumeMounts": [wanted]}, {})[0].source

    assert mount("/etc/hosts", "File").read_text() == "127.0.0.1\tnode\n"
    assert list(mount("/data/x").iterdir()) == []
    (mount("/data") / "way-out").symlink_to("/")
    assert not (Path("/data/x")).exists()
    with pytest.raises(VolumeError, match="/data/way-out/etc leads out of its volume"):
        mount("/data/way-out/etc")
    with pytest.raises(CreateContainerConfigError, match="way-out/etc leads out of its volume"):
        mount("/data", sub_path="way-out/etc")


def test_an_image_can_be_a_volume(tmp_path: Path) -> None:
    owner = pod(volumes=[{"name": "site", "image": {"reference": "docker.io/library/httpd:2.4"}}])
    volumes = Volumes(tmp_path, Shelf(), Shelf())
    asyncio.run(volumes.make(owner, FACTS))
    wanted = {"name": "site", "mountPath": "/site", "subPath": "usr/local/apache2/htdocs"}
    (mount,) = volumes.mounts(owner, {"volumeMounts": [wanted]}, {})
    assert mount.read_only and "It works!" in (mount.source / "index.html").read_text()


def test_a_mount_may_show_one_file_of_a_volume(tmp_path: Path) -> None:
    owner = pod(volumes=[{"name": "conf", "configMap": {"name": "conf"}}, {"name": "empty", "emptyDir": {}}])
    shelf = Shelf(CONFIG)
    volumes = Volumes(tmp_path, shelf, shelf)
    asyncio.run(volumes.make(owner, FACTS))
    mounts = [
        {"name": "conf", "mountPath": "/etc/a", "subPath": "a"},
        {"name": "empty", "mountPath": "/logs", "subPathExpr": "$(NAME)/logs"},
    ]
    file, folder = volumes.mounts(owner, {"volumeMounts": mounts}, {"NAME": "web"})
    assert file.source.read_text() == "1" and folder.source.is_dir() and folder.source.parent.name == "web"
    with pytest.raises(CreateContainerConfigError, match="may not contain"):
        volumes.mounts(owner, {"volumeMounts": [{"name": "empty", "mountPath": "/x", "subPath": "../../y"}]}, {})


def test_a_changed_config_map_replaces_the_files(tmp_path: Path) -> None:
    owner = pod(volumes=[{"name": "conf", "configMap": {"name": "conf"}}])
    for data in ({"a": "1", "gone": "x"}, {"a": "2", "new": "y"}):
        shelf = Shelf({"kind": "ConfigMap", "metadata": {"name": "conf"}, "data": data})
        asyncio.run(Volumes(tmp_path, shelf, shelf).make(owner, FACTS))
        assert shown(tmp_path / "volumes/conf") == data


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ({"configMap": {"name": "nosuch"}}, 'configmap "nosuch" not found'),
        (
            {"secret": {"secretName": "key", "items": [{"key": "z", "path": "z"}]}},
            "references non-existent secret key: z",
        ),
        ({"nfs": {"server": "x"}}, "volumes of type nfs are not part of the embedded cluster"),
        ({"hostPath": {"path": "/usr", "type": "Directory"}}, "hostPath type check failed: /usr is not a directory"),
        ({"hostPath": {"path": "/etc/hosts", "type": "DirectoryOrCreate"}}, "/etc/hosts is not a directory"),
        ({"image": {"reference": "nosuch"}}, 'failed to pull image "nosuch": not found'),
    ],
)
def test_a_volume_that_cannot_be_made_says_why(tmp_path: Path, volume: Obj, message: str) -> None:
    shelf = Shelf(CONFIG, SECRET)
    with pytest.raises(VolumeError, match='MountVolume.SetUp failed for volume "v" : ') as caught:
        asyncio.run(Volumes(tmp_path, shelf, shelf).make(pod(volumes=[{"name": "v", **volume}]), FACTS))
    assert message in str(caught.value)


def _field(path: str, field: str) -> Obj:
    return {"path": path, "fieldRef": {"fieldPath": field}}
