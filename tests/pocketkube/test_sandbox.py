"""The sandbox vanishes without a trace, however it ends."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest
from sandboxed import Lab, Running, running
from waiting import until

from lab_helpers.pocketkube import host_probe, linux, shell

pytestmark = pytest.mark.kernel


async def two_pods(lab: Lab) -> None:
    """A server, and a shell with two children, in two Pods: with the sandbox's own three, seven processes."""
    await lab.serve(await lab.sandbox("web"))
    await lab.run(await lab.sandbox("idle"), "sh", "-c", "sleep 1000 & sleep 1000")


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def family(pid: int) -> set[tuple[int, str]]:
    """A process and all its descendants, with their start times."""
    mine = {(pid, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])}
    return mine.union(*(family(child) for child in children(pid)))


def is_alive(process: tuple[int, str]) -> bool:
    try:
        fields = Path(f"/proc/{process[0]}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return fields[19] == process[1] and fields[0] != "Z"


def traces(machine: Running) -> list[str]:
    """What a sandbox could have left on the host: its mounts and its links."""
    state = str(machine.config.state_dir)
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if state in line]
    links = [name for _index, name in socket.if_nameindex() if name.startswith(("br0", "veth0", "node"))]
    files = [str(path) for path in (machine.config.state_dir / "sandbox").iterdir()]
    return mounts + links + files


def role(machine: Running, name: str) -> int:
    """Process id, as the host sees it, of one of the sandbox's processes."""
    node = children(machine.pid)[0]
    template = children(node)[0]
    container = children(template)[0]
    return {"intermediate": machine.pid, "node": node, "template": template, "container": container}[name]


@pytest.mark.parametrize("victim", ["intermediate", "node", "template"])
def test_nothing_is_left_after_a_process_is_killed(victim: str) -> None:
    with running(two_pods) as machine:
        until(lambda: len(family(machine.pid)) == 7)
        everybody = family(machine.pid)
        os.kill(role(machine, victim), signal.SIGKILL)
        os.waitpid(machine.pid, 0)
        until(lambda: not any(map(is_alive, everybody)))
        assert traces(machine) == []


def test_the_host_sees_nothing_of_a_running_sandbox() -> None:
    with running(two_pods) as machine:
        assert traces(machine) == []


def test_a_killed_container_takes_nobody_with_it() -> None:
    with running(two_pods) as machine:
        os.kill(role(machine, "container"), signal.SIGKILL)
        assert shell.capture(machine.config.shell_socket, "lab", ["hostname"]).stdout == "lab\n"


def test_a_termination_signal_reaches_the_first_process() -> None:
    async def end_on_signal(lab: Lab) -> None:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(42))

    with running(end_on_signal) as machine:
        os.kill(machine.pid, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(machine.pid, 0)[1]) == 42


def test_the_probe_finds_what_works_and_leaves_this_process_alone() -> None:
    before = [Path("/proc/self/ns", kind).readlink() for kind in ("user", "net", "mnt", "pid")]
    found = host_probe.probe()
    assert found.usable
    assert found.iptables and "restore" in found.iptables
    assert [Path("/proc/self/ns", kind).readlink() for kind in ("user", "net", "mnt", "pid")] == before


def test_the_probe_names_the_limit_that_is_in_the_way() -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            user = os.geteuid()
            linux.unshare(linux.Namespace.USER)
            Path("/proc/self/uid_map").write_text(f"0 {user} 1")
            Path("/proc/sys/user/max_net_namespaces").write_text("0")
            os.write(writing, host_probe.probe().reason.encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        assert pipe.read() == "the limit of namespaces is reached (sysctl user.max_*_namespaces)"
    os.waitpid(pid, 0)
