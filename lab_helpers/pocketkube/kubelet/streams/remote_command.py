"""exec and attach over a WebSocket: the streams of a process as numbered channels.

The first byte of every message says which stream it belongs to. At the end a Status on the error channel says how
the process ended. Which process it is, is left to the kubelet's server.
Models apimachinery pkg/util/remotecommand and kubelet pkg/cri/streaming/remotecommand (v1.36).
"""

from __future__ import annotations

import asyncio
import json
import signal
from dataclasses import dataclass

from aiohttp import WSMsgType, web

from ...objects import Obj
from ..runtime import Process

V4, V5 = "v4.channel.k8s.io", "v5.channel.k8s.io"
PROTOCOLS = (V5, V4)

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255

_CHUNK = 32 * 1024


@dataclass(frozen=True)
class StreamOptions:
    """Which streams of a process a client wants."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


async def open_channels(request: web.Request) -> web.WebSocketResponse:
    """Accepts the WebSocket; the newest protocol that both know is chosen."""
    socket = web.WebSocketResponse(protocols=PROTOCOLS, max_msg_size=0, compress=False)
    await socket.prepare(request)
    return socket


async def serve_process(
    socket: web.WebSocketResponse, process: Process, options: StreamOptions, *, owns: bool, close_stdin: bool = True
) -> None:
    """Carries the streams until the process ends or the client leaves.

    A process that was started for this client (`owns`) ends with it, and its exit code is told.
    """
    outputs = [
        asyncio.create_task(_send_output(socket, channel, stream, wanted))
        for channel, stream, wanted in (
            (STDOUT, process.stdout, options.stdout),
            (STDERR, process.stderr, options.stderr and not options.tty),
        )
        if stream is not None
    ]
    inputs = asyncio.create_task(_receive(socket, process, options, close_stdin))
    ended = asyncio.create_task(_ended(process, outputs))
    try:
        await asyncio.wait((inputs, ended), return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            status = exit_status(ended.result()) if owns else SUCCESS
            await send_status(socket, status)
    finally:
        if owns and not ended.done():
            process.kill(signal.SIGHUP)
        for task in (inputs, ended, *outputs):
            task.cancel()
        await asyncio.gather(inputs, ended, *outputs, return_exceptions=True)


async def send_status(socket: web.WebSocketResponse, status: Obj) -> None:
    """Tells how it ended, and closes."""
    if not socket.closed:
        await socket.send_bytes(bytes([ERROR]) + json.dumps(status).encode())
        await socket.close()


SUCCESS: Obj = {"metadata": {}, "status": "Success"}


def exit_status(exit_code: int) -> Obj:
    """The Status of a process that has ended."""
    if exit_code == 0:
        return SUCCESS
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {exit_code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(exit_code)}]},
    }


def failure_status(message: str) -> Obj:
    """The Status when there is no process at all."""
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"Internal error occurred: {message}",
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    }


async def _ended(process: Process, outputs: list[asyncio.Task[None]]) -> int:
    """The exit code, once all output is sent. A grandchild that keeps a pipe open does not hold the client up."""
    status = await process.wait()
    await asyncio.wait(outputs, timeout=1.0)
    return status.exit_code


async def _send_output(socket: web.WebSocketResponse, channel: int, stream: asyncio.StreamReader, wanted: bool) -> None:
    while data := await stream.read(_CHUNK):
        if wanted and not socket.closed:
            await socket.send_bytes(bytes([channel]) + data)


async def _receive(socket: web.WebSocketResponse, process: Process, options: StreamOptions, close_stdin: bool) -> None:
    """Handles what the client sends; returns when it has left."""
    async for message in socket:
        if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
            continue
        data = message.data.encode() if isinstance(message.data, str) else message.data
        if not data:
            continue
        channel, data = data[0], data[1:]
        if channel == STDIN and options.stdin and data:
            await _write(process, data)
        elif channel == RESIZE:
            _resize(process, data)
        elif channel == CLOSE and data == bytes([STDIN]) and process.stdin is not None and close_stdin:
            process.stdin.close()


async def _write(process: Process, data: bytes) -> None:
    if process.stdin is None or process.stdin.is_closing():
        return
    process.stdin.write(data)
    try:
        await process.stdin.drain()
    except ConnectionError:
        process.stdin.close()  # the process does not read any more


def _resize(process: Process, data: bytes) -> None:
    try:
        size = json.loads(data)
        width, height = int(size["Width"]), int(size["Height"])
    except (ValueError, KeyError, TypeError):
        return
    process.resize(width, height)
