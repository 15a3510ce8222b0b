"""Containers as the kubelet uses them: start, output, exec, attach, signals, ends."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sandboxed import Lab, run
from waiting import until_async

from lab_helpers.pocketkube.kubelet.runtime import Mount, SandboxSpec

pytestmark = pytest.mark.kernel

EXIT_TRAP = "trap 'echo ending; exit 0' TERM; echo ready; while true; do sleep 0.02; done"


async def refusal(lab: Lab, *argv: str) -> str:
    try:
        await lab.run(await lab.sandbox(), *argv)
    except RuntimeError as error:
        return str(error)
    return "it started"


def test_output_is_logged_as_the_container_runtime_interface_says() -> None:
    async def scenario(lab: Lab) -> tuple[list[str], Any]:
        log = lab.config.state_dir / "logs" / "0.log"
        exits = lab.runtime.exits()
        command = "echo one; echo two >&2; printf three; exit 3"
        container = await lab.run(await lab.sandbox(), "sh", "-c", command, log_path=log)
        event = await anext(exits)
        assert event.container_id == container
        return sorted(log.read_text().splitlines(), key=lambda line: line.split()[3]), event.status

    lines, status = run(scenario)
    assert status.exit_code == 3
    assert status.signal == 0
    assert time.time() - status.finished_at < 60
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"
    assert re.fullmatch(f"{stamp} stdout F one", lines[0])
    assert re.fullmatch(f"{stamp} stdout P three", lines[1])
    assert re.fullmatch(f"{stamp} stderr F two", lines[2])


def test_a_program_that_can_not_be_started_is_told_in_the_container_runtimes_words() -> None:
    async def scenario(lab: Lab) -> list[str]:
        return [await refusal(lab, name) for name in ("foo", "/foo", "/etc", "/etc/passwd")]

    missing, absent, folder, plain_file = run(scenario)
    assert missing.endswith('exec: "foo": executable file not found in $PATH')
    assert missing.startswith("failed to create containerd task: ")
    assert absent.endswith('exec: "/foo": stat /foo: no such file or directory')
    assert folder.endswith('exec: "/etc": is a directory')
    assert plain_file.endswith('exec: "/etc/passwd": permission denied')


def test_exec_sees_the_container_and_tells_exit_codes() -> None:
    async def scenario(lab: Lab) -> dict[str, Any]:
        mount = lab.template.files / "volume"
        mount.mkdir()
        (mount / "key").write_text("value")
        pod = await lab.sandbox("web-0")
        container = await lab.run(
            pod, "sleep", "1000", files={"/data/greeting": b"hello"}, mounts=[Mount(mount, "/etc/config", True)],
            working_dir="/made/for/it",
        )  # fmt: skip
        found = {
            "names": await lab.output(container, "sh", "-c", "hostname; cat /etc/hostname /data/greeting; pwd"),
            "processes": await lab.output(container, "sh", "-c", "cat /proc/1/comm"),
            "mount": await lab.output(container, "sh", "-c", "cat /etc/config/key; touch /etc/config/x"),
            "code": (await lab.output(container, "sh", "-c", "exit 7"))[0],
            "signal": (await lab.output(container, "sh", "-c", "kill -9 $$"))[0],
        }
        try:
            await lab.output(container, "nonsense")
        except RuntimeError as error:
            found["missing"] = str(error)
        return found

    found = run(scenario)
    assert found["names"][1] == "web-0\nweb-0\nhello/made/for/it\n"
    assert found["processes"][1] == "sleep\n", "a container's program is the first of its own processes"
    assert found["mount"][1] == "value"
    assert "Read-only file system" in found["mount"][2]
    assert found["code"] == 7
    assert found["signal"] == 137
    assert found["missing"].startswith("failed to exec in container: failed to start exec ")
    assert found["missing"].endswith('exec: "nonsense": executable file not found in $PATH')


def test_exec_moves_large_input_and_output_unchanged() -> None:
    async def scenario(lab: Lab) -> bool:
        container = await lab.run(await lab.sandbox(), "sleep", "1000")
        process = await lab.runtime.exec(container, ["cat"], stdin=True)
        assert process.stdin and process.stdout
        data = bytes(range(256)) * 8192
        process.stdin.write(data)
        process.stdin.write_eof()
        received = await process.stdout.read()
        return received == data and (await process.wait()).exit_code == 0

    assert run(scenario)


def test_exec_with_a_terminal() -> None:
    async def scenario(lab: Lab) -> tuple[str, int]:
        container = await lab.run(await lab.sandbox(), "sleep", "1000")
        process = await lab.runtime.exec(container, ["sh"], tty=True, stdin=True)
        assert process.stdin and process.stdout
        process.resize(100, 40)
        process.stdin.write(b"tty; stty size; exit 5\n")
        return (await process.stdout.read()).decode(), (await process.wait()).exit_code

    shown, code = run(scenario)
    assert "/dev/pts/" in shown
    assert "40 100" in shown
    assert code == 5


def test_a_container_with_a_terminal_and_input_can_be_attached() -> None:
    async def scenario(lab: Lab) -> tuple[str, int]:
        container = await lab.run(await lab.sandbox(), "sh", tty=True, stdin=True)
        process = await lab.runtime.attach(container)
        assert process.stdin and process.stdout and process.stderr is None
        process.stdin.write(b"echo $((6*7)); exit 9\n")
        return (await process.stdout.read()).decode(), (await process.wait()).exit_code

    shown, code = run(scenario)
    assert "42\r\n" in shown
    assert code == 9


def test_everybody_attached_gets_what_is_written_from_then_on() -> None:
    async def scenario(lab: Lab) -> list[bytes]:
        log = lab.config.state_dir / "0.log"
        command = "echo early; read line; echo $line"
        container = await lab.run(await lab.sandbox(), "sh", "-c", command, stdin=True, log_path=log)
        await until_async(lambda: log.exists() and "early" in log.read_text())
        first, second = await lab.runtime.attach(container), await lab.runtime.attach(container)
        assert first.stdin and first.stdout and second.stdout
        first.stdin.write(b"late\n")
        return await asyncio.gather(first.stdout.read(), second.stdout.read())

    assert run(scenario) == [b"late\n", b"late\n"]


def test_stopping_asks_first_and_forces_later() -> None:
    async def scenario(lab: Lab) -> tuple[Any, Any, float]:
        log = lab.config.state_dir / "0.log"
        polite = await lab.run(await lab.sandbox("polite"), "sh", "-c", EXIT_TRAP, log_path=log)
        stubborn = await lab.run(await lab.sandbox("stubborn"), "sleep", "1000")
        await until_async(lambda: log.exists() and "ready" in log.read_text())
        asked = await lab.runtime.stop_container(polite, 20)
        assert "ending" in log.read_text()
        began = time.monotonic()
        forced = await lab.runtime.stop_container(stubborn, 0.2)
        assert await lab.runtime.stop_container(stubborn, 5) == forced, "stopping twice does nothing"
        return asked, forced, time.monotonic() - began

    asked, forced, seconds = run(scenario)
    assert asked.exit_code == 0
    assert (forced.exit_code, forced.signal) == (137, 9)
    assert 0.2 <= seconds < 2


def test_what_a_container_started_ends_with_it() -> None:
    async def scenario(lab: Lab) -> tuple[str, str]:
        pod = await lab.sandbox()
        first = await lab.run(pod, "sh", "-c", "setsid sleep 12345 & exec sleep 1000")
        async with asyncio.timeout(5):
            while "12345" not in (before := await all_commands()):
                await asyncio.sleep(0.005)
        lab.runtime.kill_container(first, signal.SIGKILL)
        await lab.runtime.stop_container(first, 5)
        return before, await all_commands()

    before, after = run(scenario)
    assert "12345" in before
    assert "12345" not in after


async def all_commands() -> str:
    """Command lines of all processes of the sandbox; a zombie has none."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_text())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return "\n".join(lines)


def test_stopping_a_sandbox_ends_all_its_containers_and_can_be_repeated() -> None:
    async def scenario(lab: Lab) -> tuple[list[int], int, int]:
        pod = await lab.sandbox()
        exits = lab.runtime.exits()
        await lab.run(pod, "sleep", "1000")
        await lab.run(pod, "sleep", "1001")
        descriptors = len(list(Path("/proc/self/fd").iterdir()))
        await lab.runtime.stop_sandbox(pod.id)
        await lab.runtime.stop_sandbox(pod.id)
        ended = [(await anext(exits)).status.exit_code for _ in range(2)]
        return ended, descriptors, len(list((lab.template.files / "roots").iterdir()))

    ended, _descriptors, layers = run(scenario)
    assert ended == [137, 137]
    assert layers == 0


def test_many_pods_leave_no_descriptors_and_no_layers() -> None:
    async def scenario(lab: Lab) -> tuple[int, int]:
        async def one() -> None:
            pod = await lab.sandbox()
            container = await lab.run(pod, "sleep", "1000", log_path=lab.config.state_dir / "0.log")
            await lab.output(container, "true")
            await lab.runtime.stop_sandbox(pod.id)

        await one()
        before = len(list(Path("/proc/self/fd").iterdir()))
        await asyncio.gather(*(one() for _ in range(8)))
        return before, len(list(Path("/proc/self/fd").iterdir()))

    before, after = run(scenario)
    assert after == before


def test_a_pod_on_the_nodes_network_has_the_nodes_address_and_name() -> None:
    async def scenario(lab: Lab) -> tuple[str, str]:
        spec = SandboxSpec("lab", "lab", host_network=True)
        pod = await lab.runtime.run_sandbox(spec)
        container = await lab.run(pod, "sleep", "1000")
        _code, out, _err = await lab.output(container, "sh", "-c", "hostname; ip -br -4 address show eth0")
        await lab.runtime.stop_sandbox(pod.id)
        return pod.ip, out

    address, out = run(scenario)
    assert address == "192.168.49.2"
    assert out.startswith("lab\n")
    assert "192.168.49.2/24" in out


def test_dial_reaches_what_listens_on_the_pods_loopback_alone() -> None:
    async def scenario(lab: Lab) -> tuple[bytes, str]:
        pod = await lab.sandbox()
        await lab.serve(pod)
        reader, writer = await lab.runtime.dial(pod.id, 80)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        answer = await reader.read()
        writer.close()
        try:
            await lab.runtime.dial(pod.id, 81)
        except ConnectionRefusedError:
            return answer, "refused"
        return answer, "connected"

    answer, other_port = run(scenario)
    assert answer.endswith(b"web to 127.0.0.1\n")
    assert other_port == "refused"


def test_a_container_starts_in_well_under_fifty_milliseconds() -> None:
    async def scenario(lab: Lab) -> list[float]:
        seconds = []
        for _ in range(5):
            began = time.monotonic()
            await lab.run(await lab.sandbox(), "sleep", "1000")
            seconds.append(time.monotonic() - began)
        return seconds

    assert min(run(scenario)) < 0.05


def test_a_program_of_an_image_hides_where_it_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forked program must not show the command line and environment of the user's own process."""

    async def scenario(lab: Lab) -> tuple[int, str, str]:
        container = await lab.serve(await lab.sandbox())
        return await lab.output(container, "sh", "-c", "tr '\\0' ' ' </proc/1/cmdline; cat /proc/1/environ")

    _code, out, _err = run(scenario)
    assert out.startswith("server")
    assert "pytest" not in out
    assert "PATH=" not in out


def test_a_container_that_takes_more_memory_than_its_limit_is_ended_for_that() -> None:
    script = "import os, time; kept = bytearray(os.urandom(60 << 20)); time.sleep(1000)"

    async def scenario(lab: Lab) -> tuple[Any, Any]:
        pod = await lab.sandbox()
        greedy = await lab.run(pod, "sh", "-c", f"{sys.executable} -S -c '{script}'; true", memory_limit=40 << 20)
        modest = await lab.run(pod, "sleep", "1000", memory_limit=40 << 20)
        async for exited in lab.runtime.exits():
            assert exited.container_id == greedy
            return exited.status, await lab.runtime.stop_container(modest, 0)
        raise AssertionError

    killed, stopped = run(scenario)
    assert (killed.exit_code, killed.out_of_memory) == (137, True)
    assert not stopped.out_of_memory
