"""exec and attach: carries the streams of a process between it and a client, and tells how it ended.

Which process it is, is left to the kubelet's server, how the streams travel to `channels.py`.
Models apimachinery pkg/util/remotecommand and kubelet pkg/cri/streaming/remotecommand (v1.36).
"""

from __future__ import annotations

import asyncio
import json
import signal

from ...objects import Obj
from ..runtime import Process
from .channels import CLOSE, RESIZE, STDERR, STDIN, STDOUT, Channels, StreamOptions

_CHUNK = 32 * 1024
_LAST_WORDS_SECONDS = 1.0
"""So long a process may answer to the end of its input. containerd lets the client go at once."""


async def serve_process(
    channels: Channels, process: Process, options: StreamOptions, *, owns: bool, close_stdin: bool = True
) -> None:
    """Carries the streams until the process ends or the client leaves.

    A process that was started for this client (`owns`) ends with it, and its exit code is told. A client whose input
    ends while the process keeps its own open (no `close_stdin`) has nothing more to say and is let go.
    """
    outputs = [
        asyncio.create_task(_send_output(channels, channel, stream, wanted))
        for channel, stream, wanted in (
            (STDOUT, process.stdout, options.stdout),
            (STDERR, process.stderr, options.stderr and not options.tty),
        )
        if stream is not None
    ]
    inputs = asyncio.create_task(_receive(channels, process, options, close_stdin))
    ended = asyncio.create_task(_ended(process, outputs))
    try:
        await asyncio.wait((inputs, ended), return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            status = exit_status(ended.result()) if owns else SUCCESS
            await channels.finish(status)
        elif inputs.result():
            await asyncio.wait((ended,), timeout=_LAST_WORDS_SECONDS)
            await channels.finish(SUCCESS)
    finally:
        if owns and not ended.done():
            process.kill(signal.SIGHUP)
        for task in (inputs, ended, *outputs):
            task.cancel()
        await asyncio.gather(inputs, ended, *outputs, return_exceptions=True)


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


async def _send_output(channels: Channels, channel: int, stream: asyncio.StreamReader, wanted: bool) -> None:
    while data := await stream.read(_CHUNK):
        if wanted:
            await channels.send(channel, data)


async def _receive(channels: Channels, process: Process, options: StreamOptions, close_stdin: bool) -> bool:
    """Handles what the client sends, until it leaves (False) or has said all that it has to say (True)."""
    async for channel, data in channels.messages():
        if channel == STDIN and options.stdin and data:
            await _write(process, data)
        elif channel == RESIZE:
            _resize(process, data)
        elif channel == CLOSE and data == bytes([STDIN]) and process.stdin is not None:
            if not close_stdin:
                return True
            process.stdin.close()
    return False


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
