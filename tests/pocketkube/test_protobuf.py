"""Protobuf bodies: those of a real kubectl, those of a small encoder of our own, and damaged ones."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab_helpers.kubectl import kubectl_path
from lab_helpers.pocketkube import schema
from lab_helpers.pocketkube.protobuf import MAGIC, MAX_BODY, decode

# --- an encoder that shares nothing with the decoder but the schema ---


def varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def chunk(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def scalar(number: int, value, type_name: str) -> bytes:
    match type_name:
        case "bool" | "int32" | "int64":
            return varint(number << 3) + varint(int(value))
        case "bytes":
            return chunk(number, base64.b64decode(value))
        case "IntOrString" if isinstance(value, int):
            return chunk(number, varint(1 << 3) + varint(0) + varint(2 << 3) + varint(value) + chunk(3, b""))
        case "IntOrString":
            return chunk(number, varint(1 << 3) + varint(1) + varint(2 << 3) + varint(0) + chunk(3, value.encode()))
        case "Quantity":
            return chunk(number, chunk(1, value.encode()))
        case "string":
            return chunk(number, value.encode())
        case _:
            return chunk(number, message(value, type_name))


def message(obj: dict, type_name: str) -> bytes:
    body, embedded = b"", {}
    for name, value in obj.items():
        field = schema.fields(type_name)[name]
        if not field.wire:
            continue
        number = field.wire[-1]
        if field.kind == "list":
            data = b"".join(scalar(number, item, field.type) for item in value)
        elif field.kind == "map":
            data = b"".join(chunk(number, chunk(1, k.encode()) + scalar(2, v, field.type)) for k, v in value.items())
        else:
            data = scalar(number, value, field.type)
        if len(field.wire) == 2:
            embedded[field.wire[0]] = embedded.get(field.wire[0], b"") + data
        else:
            body += data
    return body + b"".join(chunk(number, data) for number, data in embedded.items())


def encode(obj: dict) -> bytes:
    group, _, version = obj["apiVersion"].rpartition("/")
    meta = chunk(1, obj["apiVersion"].encode()) + chunk(2, obj["kind"].encode())
    raw = message(obj, schema.kind_type(group, version, obj["kind"]))
    return MAGIC + chunk(1, meta) + chunk(2, raw) + chunk(3, b"") + chunk(4, b"")


POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "labels": {"app": "web", "empty": ""}},
    "spec": {
        "containers": [
            {
                "name": "c",
                "args": ["-v", ""],
                "ports": [{"containerPort": 80}],
                "resources": {"limits": {"cpu": "500m"}},
                "livenessProbe": {"httpGet": {"port": "http", "path": "/"}, "periodSeconds": 3},
                "readinessProbe": {"tcpSocket": {"port": 80}},
            }
        ],
        "volumes": [{"name": "v", "emptyDir": {}}, {"name": "c", "configMap": {"name": "cm", "optional": False}}],
        "terminationGracePeriodSeconds": 0,
    },
}


def test_a_pod_comes_back_as_it_was():
    assert decode(encode(POD)) == POD


def test_bytes_become_base64_and_zero_values_of_pointers_stay():
    secret = {"apiVersion": "v1", "kind": "Secret", "data": {"a": "Yg==", "empty": ""}, "immutable": False}
    assert decode(encode(secret)) == secret


def test_zero_values_that_go_always_writes_are_dropped():
    raw = chunk(1, chunk(1, b"web") + chunk(5, b"") + chunk(8, b"")) + chunk(2, varint(1 << 3) + varint(0))
    body = MAGIC + chunk(1, chunk(1, b"apps/v1") + chunk(2, b"Deployment")) + chunk(2, raw)
    assert decode(body) == {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 0},
    }  # fmt: skip


def test_times_are_written_in_utc():
    time = varint(1 << 3) + varint(1_700_000_000) + varint(2 << 3) + varint(5_000)
    raw = chunk(2, chunk(3, time))
    body = MAGIC + chunk(1, chunk(1, b"coordination.k8s.io/v1") + chunk(2, b"Lease")) + chunk(2, raw)
    assert schema.fields("coordination.v1.LeaseSpec")["acquireTime"].wire == (3,)
    assert decode(body)["spec"] == {"acquireTime": "2023-11-14T22:13:20.000005Z"}


def test_delete_options_are_read():
    raw = varint(1 << 3) + varint(0) + chunk(2, chunk(1, b"some-uid")) + chunk(4, b"Background")
    body = MAGIC + chunk(1, chunk(1, b"v1") + chunk(2, b"DeleteOptions")) + chunk(2, raw)
    assert decode(body) == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": "some-uid"},
        "propagationPolicy": "Background",
    }


def test_unknown_fields_are_skipped():
    unknown = chunk(900, b"?") + varint(901 << 3 | 5) + b"1234" + varint(902 << 3 | 1) + b"12345678"
    raw = chunk(1, chunk(1, b"web")) + unknown
    body = MAGIC + chunk(1, chunk(1, b"v1") + chunk(2, b"Service")) + chunk(2, raw)
    assert decode(body) == {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}


# --- bodies that are none ---


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"{}", "magic"),
        (b"", "magic"),
        (MAGIC, "no kind"),
        (MAGIC + chunk(1, chunk(1, b"v9") + chunk(2, b"Pod")), 'no kind "Pod"'),
        (MAGIC + b"\x0a\xff\xff\xff\xff\x0f", "cut short"),
        (MAGIC + b"\xff" * 20, "longer than 64 bits"),
        (MAGIC + b"\x0b", "wire type 3"),
        (MAGIC + b"\x02\x00", "number 0"),
        (MAGIC + chunk(1, chunk(1, b"\xff")), "UTF-8"),
        (MAGIC + varint(1 << 3) + varint(1), "bytes are expected"),
        (MAGIC + bytes(MAX_BODY), "at most"),
        (encode(POD) + chunk(3, b"gzip"), "inner encoding"),
    ],
)
def test_a_damaged_body_is_refused_with_a_sentence(body, why):
    with pytest.raises(ValueError, match=why) as error:
        decode(body)
    assert str(error.value).endswith(".")


def test_endless_nesting_is_refused():
    deep = b"[" * 5000
    raw = chunk(2, chunk(1, deep))
    body = MAGIC + chunk(1, chunk(1, b"apps/v1") + chunk(2, b"ControllerRevision")) + chunk(2, raw)
    with pytest.raises(ValueError, match="not JSON"):
        decode(body)


@given(st.binary(max_size=200))
def test_hostile_bytes_never_do_worse_than_value_error(data):
    for body in (MAGIC + data, MAGIC + chunk(1, chunk(1, b"v1") + chunk(2, b"Pod")) + chunk(2, data)):
        with contextlib.suppress(ValueError):
            decode(body)


@given(st.integers(0, len(encode(POD)) - 1), st.integers(0, 255))
def test_one_wrong_byte_never_does_worse_than_value_error(at, byte):
    body = bytearray(encode(POD))
    body[at] = byte
    with contextlib.suppress(ValueError):
        decode(bytes(body))


# --- round trip of arbitrary objects ---

_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=5)
_SCALARS = {
    "string": _TEXT,
    "bool": st.just(True),
    "int32": st.integers(-(2**31), 2**31 - 1).filter(bool),
    "int64": st.integers(-(2**63), 2**63 - 1).filter(bool),
    "bytes": st.binary(min_size=1, max_size=5).map(lambda data: base64.b64encode(data).decode()),
    "IntOrString": st.one_of(_TEXT, st.integers(1, 65535)),
    "Quantity": st.sampled_from(["1", "500m", "64Mi"]),
}


@st.composite
def objects(draw, type_name: str, depth: int = 0):
    obj = {}
    for field in schema.fields(type_name).values():
        value = _SCALARS.get(field.type)
        if value is None and field.is_struct and depth < 3:
            value = objects(field.type, depth + 1)
        if value is None or not field.wire or draw(st.integers(0, 3)) != 0:
            continue
        if field.kind == "list":
            value = st.lists(value, min_size=1, max_size=2)
        elif field.kind == "map":
            value = st.dictionaries(_TEXT, value, min_size=1, max_size=2)
        obj[field.name] = draw(value)
    return obj


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [("v1", "Service"), ("v1", "Secret"), ("apps/v1", "Deployment"), ("discovery.k8s.io/v1", "EndpointSlice")],
)
@given(data=st.data())
def test_whatever_is_encoded_is_decoded(api_version, kind, data):
    group, _, version = api_version.rpartition("/")
    spec = data.draw(objects(schema.kind_type(group, version, kind)))
    obj = {**spec, "apiVersion": api_version, "kind": kind}
    assert decode(encode(obj)) == obj


# --- the real kubectl ---


class Recorder(BaseHTTPRequestHandler):
    """Answers a POST with the object it holds, and keeps the body."""

    bodies: list[bytes] = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.bodies.append(body)
        answer = json.dumps(decode(body)).encode()
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_args):
        pass


@pytest.fixture
def recorder():
    Recorder.bodies = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def kubectl_sends(recorder, tmp_path, *command: str) -> dict:
    url = f"http://127.0.0.1:{recorder.server_port}"
    home = str(tmp_path)
    environment = {**os.environ, "HOME": home, "KUBECONFIG": f"{home}/none", "KUBECACHEDIR": home}
    run = subprocess.run(
        [str(kubectl_path()), "--server", url, *command], env=environment, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert recorder.RequestHandlerClass.bodies[-1].startswith(MAGIC)
    return decode(recorder.RequestHandlerClass.bodies[-1])


@pytest.mark.kubectl
def test_what_kubectl_create_sends_is_understood(recorder, tmp_path):
    deployment = kubectl_sends(
        recorder, tmp_path, "create", "deployment", "web", "--image=httpd", "--replicas=0", "--port=80"
    )
    assert deployment["spec"]["replicas"] == 0
    assert deployment["spec"]["selector"] == {"matchLabels": {"app": "web"}}
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container == {"name": "httpd", "image": "httpd", "ports": [{"containerPort": 80}], "resources": {}}

    service = kubectl_sends(
        recorder, tmp_path, "create", "service", "nodeport", "web", "--tcp=80:http", "--node-port=30080"
    )
    assert service["spec"]["type"] == "NodePort"
    assert service["spec"]["ports"] == [
        {"name": "80-http", "protocol": "TCP", "port": 80, "targetPort": "http", "nodePort": 30080}
    ]

    configmap = kubectl_sends(recorder, tmp_path, "create", "configmap", "c", "--from-literal=a=b", "--from-literal=e=")
    assert configmap["data"] == {"a": "b", "e": ""}

    secret = kubectl_sends(recorder, tmp_path, "create", "secret", "generic", "s", "--from-literal=a=b")
    assert secret["data"] == {"a": "Yg=="}

    namespace = kubectl_sends(recorder, tmp_path, "create", "namespace", "n")
    assert (namespace["kind"], namespace["metadata"]["name"]) == ("Namespace", "n")

    ingress = kubectl_sends(recorder, tmp_path, "create", "ingress", "i", "--rule=foo.com/*=svc:http")
    (path,) = ingress["spec"]["rules"][0]["http"]["paths"]
    backend = {"service": {"name": "svc", "port": {"name": "http"}}}
    assert path == {"path": "/", "pathType": "Prefix", "backend": backend}
