"""Clients that mean harm or know no better: each gets a 4xx or a closed connection, and the others are served on."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import os
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import pytest
from api_serving import Served, run
from server_process import ServerProcess

from lab_helpers.pocketkube.api import intake

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
REVIEWS = "/apis/authorization.k8s.io/v1"
MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("hostile"))
    process.start()
    yield process
    assert process.is_alive()
    process.close()


class Reply(NamedTuple):
    """What came back: status 0 if the connection was closed without an answer."""

    status: int
    body: bytes


def nobody() -> ssl.SSLContext:
    """A client without a certificate: any other user of the machine."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def exchange(server: ServerProcess, sent: bytes | Iterable[bytes], tls: ssl.SSLContext | None = None) -> Reply:
    """Sends bytes as they are and reads the answer, if there is one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=tls or server.pki.client_context())
    try:
        for piece in [sent] if isinstance(sent, bytes) else sent:
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        pass
    try:
        async with asyncio.timeout(20):
            head = await reader.readuntil(b"\r\n\r\n")
            length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            return Reply(int(head.split()[1]), await reader.readexactly(int(length[0][15:])) if length else b"")
    except (ConnectionError, asyncio.IncompleteReadError):
        return Reply(0, b"")
    finally:
        writer.transport.abort()


def request(
    method: str, path: str, body: bytes = b"", content_type: str = "application/json", extra: str = ""
) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body


def ask(server: ServerProcess, sent: bytes | Iterable[bytes], tls: ssl.SSLContext | None = None) -> Reply:
    """One exchange, after which the server must serve others and must not have grown."""
    reply = asyncio.run(exchange(server, sent, tls))
    assert asyncio.run(server.answers())
    return reply


def is_refusal(reply: Reply) -> bool:
    """A Status that says what was wrong with the request."""
    status = json.loads(reply.body)
    return 400 <= reply.status < 500 and status["kind"] == "Status" and bool(status["message"])


def token(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


@pytest.mark.parametrize(
    "query",
    [
        "limit=" + "9" * 5000,
        "limit=many",
        "timeoutSeconds=1e9&watch=true",
        "continue=" + token(b'{"rv":1e400,"start":"a"}'),
        "continue=" + token(b"[" * 100_000),
        "continue=" + token(b'{"rv":' + b"9" * 5000 + b',"start":"x"}'),
        "continue=%ff%00",
        "labelSelector=" + "a," * 200_000,
        "labelSelector=" + "(" * 5000,
        "labelSelector=%ff",
        "labelSelector=%ed%a0%80",
        "fieldSelector=spec.nodeName=a",
        "watch=true&sendInitialEvents=perhaps",
    ],
    ids=lambda query: str(query)[:30],
)
def test_a_query_that_makes_no_sense(server: ServerProcess, query: str) -> None:
    assert is_refusal(ask(server, request("GET", f"{CONFIG_MAPS}?{query}")))


@pytest.mark.parametrize("revision", ["9" * 5000, "9" * 30, "-5", "1e3", "%D9%A1"])
def test_a_resource_version_that_is_none(server: ServerProcess, revision: str) -> None:
    reply = ask(server, request("GET", f"{CONFIG_MAPS}?resourceVersion={revision}"))
    assert reply.status == 400
    assert "strconv.ParseUint" in json.loads(reply.body)["message"]


@pytest.mark.parametrize(
    "path",
    [
        CONFIG_MAPS + "/..%2f..%2f..%2fetc%2fpasswd",
        CONFIG_MAPS + "/../../../../etc/passwd",
        CONFIG_MAPS + "/%00",
        CONFIG_MAPS + "/a%2fb",
        CONFIG_MAPS + "/%ff%fe",
        "/api/v1/../../etc",
        "/apis/../api/v1",
        "/..",
        "/%2e%2e/%2e%2e",
        "/openapi/v3/../../x",
        "/" + "a/" * 300_000,
        "/api/v1/namespaces/default/pods/..%2f..%2fx/log",
        "/api/v1/namespaces/%2e%2e/pods/%2e%2e/exec?command=id",
    ],
    ids=lambda path: str(path)[:40],
)
def test_a_path_leads_nowhere_else(server: ServerProcess, path: str) -> None:
    assert ask(server, request("GET", path)).status == 404


def deep_yaml() -> bytes:
    return b"".join(b" " * depth + b"a:\n" for depth in range(2000))


def yaml_bomb() -> bytes:
    lines = [b"a: &a [x,x,x,x,x,x,x,x,x]"]
    for letter in range(98, 118):
        lines.append(b"%c: &%c [%s]" % (letter, letter, b",".join([b"*%c" % (letter - 1)] * 9)))
    return b"\n".join(lines)


JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
BODIES = {
    "deep lists": (JSON, b"[" * 1_000_000),
    "deep objects": (JSON, b'{"a":' * 100_000),
    "bad UTF-8": (JSON, b'{"metadata":{"name":"\xff\xfe"}}'),
    "cut short": (JSON, b'{"metadata":{"name":"a"'),
    "null": (JSON, b"null"),
    "a number": (JSON, b"1"),
    "a list": (JSON, b"[]"),
    "nothing": (JSON, b""),
    "a long number": (JSON, b'{"metadata":{"generation":' + b"9" * 6000 + b"}}"),
    "no number": (JSON, b'{"data":NaN}'),
    "labels that are a list": (JSON, b'{"metadata":{"name":"a","labels":[1]}}'),
    "NUL in a name": (JSON, b'{"metadata":{"name":"a\\u0000b"}}'),
    "too much data": (JSON, b'{"metadata":{"name":"big"},"data":{"a":"' + b"x" * 2 * MEGABYTE + b'"}}'),
    "over the limit": (JSON, b'"' + b"x" * intake.BODY_LIMIT),
    "compressed": (JSON, gzip.compress(b"[" * 50 * MEGABYTE, 1)),
    "YAML bomb": (YAML, yaml_bomb()),
    "YAML that runs code": (YAML, b"!!python/object/apply:os.system ['id']"),
    "YAML in a circle": (YAML, b"&a {a: *a}"),
    "deep YAML": (YAML, deep_yaml()),
    "deep YAML lists": (YAML, b"- " * 50_000),
    "two documents": (YAML, b"a: b\n---\nc: d"),
    "a key that is an object": (YAML, b"? {a: b}\n: c"),
    "protobuf garbage": (PROTOBUF, b"k8s\0" + bytes(range(256)) * 20),
    "protobuf nothing": (PROTOBUF, b"k8s\0"),
    "protobuf ones": (PROTOBUF, b"k8s\0" + b"\xff" * 1000),
    "protobuf nested": (PROTOBUF, b"k8s\0" + b"\x12\x7f" * 1000),
    "no protobuf": (PROTOBUF, os.urandom(500)),
    "another form": ("text/html; charset=\xff;;", b"{}"),
}


@pytest.mark.parametrize("content_type, body", BODIES.values(), ids=BODIES)
def test_a_body_that_is_no_object(server: ServerProcess, content_type: str, body: bytes) -> None:
    assert is_refusal(ask(server, request("POST", CONFIG_MAPS, body, content_type)))


@pytest.mark.parametrize(
    "method, path, body",
    [
        ("DELETE", f"{CONFIG_MAPS}/x", b'{"preconditions":[1]}'),
        ("DELETE", f"{CONFIG_MAPS}/x", b'{"preconditions":{"uid":5}}'),
        ("DELETE", f"{CONFIG_MAPS}/x", b'{"gracePeriodSeconds":99999999999999999999}'),
        ("DELETE", f"{CONFIG_MAPS}/x", b'{"dryRun":{"a":1}}'),
        ("DELETE", CONFIG_MAPS, b'{"propagationPolicy":{"a":1}}'),
        ("POST", f"{REVIEWS}/selfsubjectaccessreviews", b'{"spec":{"resourceAttributes":7}}'),
        ("POST", f"{REVIEWS}/subjectaccessreviews", b'{"spec":{"groups":"a"}}'),
        ("POST", "/apis/authentication.k8s.io/v1/tokenreviews", b'{"spec":{"token":{"a":1}}}'),
        ("POST", "/apis/authentication.k8s.io/v1/tokenreviews", b'{"spec":"x"}'),
    ],
)
def test_options_and_questions_of_the_wrong_types(server: ServerProcess, method: str, path: str, body: bytes) -> None:
    assert is_refusal(ask(server, request(method, path, body)))


START = f"POST {CONFIG_MAPS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()
NOT_HTTP = {
    "not HTTP at all": b"\x16\x03\x01\x02garbage\r\n\r\n",
    "a version of its own": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "a method of its own": b"FOO /api HTTP/1.1\r\nHost: x\r\n\r\n",
    "two framings": START + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": START + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    "a negative length": START + b"Content-Length: -5\r\n\r\n",
    "an absurd length": START + b"Content-Length: 99999999999999\r\n\r\nabc",
    "a broken chunk": START + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    "NUL in a header": b"GET /api HTTP/1.1\r\nHost: x\r\na: b\0c\r\n\r\n",
    "a folded header": b"GET /api HTTP/1.1\r\nHost: x\r\na: b\r\n c\r\n\r\n",
    "a path of no characters": b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "a huge header": b"GET /api HTTP/1.1\r\nHost: x\r\na: " + b"x" * 2 * MEGABYTE + b"\r\n\r\n",
    "very many headers": b"GET /api HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 50_000 + b"\r\n",
}


@pytest.mark.parametrize("sent", NOT_HTTP.values(), ids=NOT_HTTP)
@pytest.mark.parametrize("who", ["administrator", "nobody"])
def test_what_is_not_a_request(server: ServerProcess, sent: bytes, who: str) -> None:
    reply = ask(server, sent, nobody() if who == "nobody" else None)
    assert reply.status == 0 or 400 <= reply.status < 500
    if reply.status:
        status = json.loads(reply.body)
        assert (status["kind"], status["code"]) == ("Status", reply.status)
        assert "b'" not in status["message"] and "\n" not in status["message"], "nothing of our parser's is told"


def test_an_unknown_method_is_not_allowed(server: ServerProcess) -> None:
    reply = ask(server, b"FOO /api HTTP/1.1\r\nHost: x\r\n\r\n")
    assert reply.status == 405
    assert json.loads(reply.body)["message"] == "the server does not allow this method on the requested resource"


@pytest.mark.parametrize("sent", [b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /api HTTP/1.1\r\n\r\n"])
def test_plain_http_is_told_where_it_is(server: ServerProcess, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(sent[:3])
        client.sendall(sent[3:])
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer == b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"


def test_no_answer_tells_what_serves_it() -> None:
    async def scenario(api: Served) -> None:
        for method, path in (("GET", "/healthz"), ("GET", "/api/v1/nope"), ("FOO", "/api"), ("GET", CONFIG_MAPS)):
            assert "Server" not in (await api.request(method, path)).headers

    run(scenario)


def endless_headers() -> Iterator[bytes]:
    yield b"GET /api HTTP/1.1\r\nHost: x\r\n"
    for number in range(2000):
        yield b"x%d: " % number + b"y" * 60_000 + b"\r\n"


def endless_body() -> Iterator[bytes]:
    yield START + b"Transfer-Encoding: chunked\r\n\r\n"
    for _ in range(2000):
        yield b"10000\r\n" + b"y" * 65536 + b"\r\n"


@pytest.mark.parametrize(
    "stream, who, status", [(endless_headers, nobody, 0), (endless_body, nobody, 403), (endless_body, None, 413)]
)
def test_a_stream_without_an_end_is_cut_off_and_not_kept(
    server: ServerProcess,
    stream: Callable[[], Iterator[bytes]],
    who: Callable[[], ssl.SSLContext] | None,
    status: int,
) -> None:
    before = server.resident_megabytes()
    assert ask(server, stream(), who() if who else None).status in (status, 0)
    assert server.resident_megabytes() - before < 30


def test_many_silent_connections_cost_little_and_hold_up_nobody(server: ServerProcess) -> None:
    async def scenario() -> None:
        before = server.resident_megabytes()
        context = nobody()
        opened = [await asyncio.open_connection("127.0.0.1", server.port, ssl=context) for _ in range(300)]
        assert await server.answers()
        assert server.resident_megabytes() - before < 40
        for _reader, writer in opened:
            writer.transport.abort()

    asyncio.run(scenario())


def test_who_hangs_up_in_the_middle_of_a_body_has_written_nothing(server: ServerProcess) -> None:
    async def scenario() -> None:
        body = json.dumps({"metadata": {"name": "half"}}).encode()
        _reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=server.pki.client_context())
        writer.write(request("POST", CONFIG_MAPS, body)[:-5])
        await writer.drain()
        writer.transport.abort()
        assert (await exchange(server, request("GET", f"{CONFIG_MAPS}/half"))).status == 404

    asyncio.run(scenario())
    assert asyncio.run(server.answers())


def many_keys() -> bytes:
    keys = b"".join(b"  key-%06d: v\n" % number for number in range(180_000))
    return b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: many\ndata:\n" + keys


@pytest.mark.parametrize(
    ("method", "path", "content_type"),
    [
        ("POST", CONFIG_MAPS, "application/yaml"),
        ("PATCH", f"{CONFIG_MAPS}/many?fieldManager=m", "application/apply-patch+yaml"),
    ],
)
def test_others_are_answered_while_a_large_body_is_read(
    server: ServerProcess, method: str, path: str, content_type: str
) -> None:
    async def scenario() -> float:
        loop = asyncio.get_running_loop()
        large = asyncio.create_task(exchange(server, request(method, path, many_keys(), content_type)))
        slowest = 0.0
        while not large.done():
            start = loop.time()
            assert (await exchange(server, request("GET", f"{CONFIG_MAPS}/none"))).status == 404
            slowest = max(slowest, loop.time() - start)
        assert is_refusal(await large)
        return slowest

    assert asyncio.run(scenario()) < 2


def test_who_sends_its_head_too_slowly_is_shown_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "HEADER_SECONDS", 0.1)

    async def scenario(served: Served) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port, ssl=served.pki.client_context())
        writer.write(b"GET /healthz HT")
        assert await reader.read() == b""
        writer.close()

    run(scenario)


def test_who_sends_its_body_too_slowly_is_told_and_shown_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "BODY_SECONDS", 0.1)

    async def scenario(served: Served) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port, ssl=served.pki.client_context())
        writer.write(START + b"Content-Length: 100\r\n\r\n{")
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 408 ") and b'"kind":"Status"' in answer
        writer.close()

    run(scenario)
