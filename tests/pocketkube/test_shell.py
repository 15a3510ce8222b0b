"""`servicelab node` and `servicelab outside`: commands on a machine of the sandbox, started from the host."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandboxed import Lab, Running, running
from waiting import until

from lab_helpers.errors import ClusterNotRunning, NodeShellError
from lab_helpers.pocketkube import shell

pytestmark = pytest.mark.kernel


async def nothing(_lab: Lab) -> None:
    """The machines alone."""


@pytest.fixture(scope="module")
def machine() -> Iterator[Running]:
    with running(nothing) as started:
        yield started


def on_node(machine: Running, *argv: str, place: str = "lab", **settings: str | float) -> shell.Captured:
    return shell.capture(machine.config.shell_socket, place, argv, **{"timeout": 10, **settings})  # type: ignore[arg-type]


def client(machine: Running, *argv: str, place: str = "lab", **streams: int) -> subprocess.Popen[bytes]:
    """The command line's side, as a process of its own."""
    module = [sys.executable, "-m", "lab_helpers.pocketkube.shell", str(machine.config.shell_socket)]
    return subprocess.Popen([*module, place, *argv], **streams)  # type: ignore[call-overload, no-any-return]


def test_a_command_is_on_the_node_and_its_output_and_code_come_back(machine: Running) -> None:
    done = on_node(machine, "sh", "-c", "hostname; cat; echo oops >&2; exit 3", input="typed\n")
    assert done == (3, "lab\ntyped\n", "oops\n")
    assert on_node(machine, "sh", "-c", "kill -9 $$").returncode == 137


def test_a_node_has_its_network_and_may_change_it(machine: Running) -> None:
    change = "iptables -A INPUT -j ACCEPT && iptables-save -t filter; sysctl -w net.ipv4.ip_forward=1"
    script = f"ip -br -4 address show eth0; {change}"
    done = on_node(machine, "sh", "-c", script)
    assert "192.168.49.2/24" in done.stdout
    assert "-A INPUT -j ACCEPT" in done.stdout
    assert "net.ipv4.ip_forward = 1" in done.stdout
    assert done.returncode == 0


def test_a_node_may_not_change_the_host(machine: Running) -> None:
    done = on_node(machine, "sh", "-c", "echo 9 > /proc/sys/kernel/panic; mount -t tmpfs x /mnt; ls /dev")
    assert "Read-only file system" in done.stderr or "ermission denied" in done.stderr
    assert "mount" in done.stderr
    assert "vda" not in done.stdout


def test_what_one_command_writes_the_next_one_finds(machine: Running) -> None:
    on_node(machine, "sh", "-c", "echo kept > /root/note; echo kept > /etc/note")
    assert on_node(machine, "cat", "/root/note", "/etc/note").stdout == "kept\nkept\n"
    assert on_node(machine, "cat", "/root/note", place="outside").returncode == 1
    assert not Path("/etc/note").exists()


def test_outside_is_a_machine_of_its_own(machine: Running) -> None:
    done = on_node(machine, "sh", "-c", "hostname; ip -br -4 address show br0", place="outside")
    assert done.stdout.startswith("outside\n")
    assert "192.168.49.1/24" in done.stdout


def test_large_input_and_output(machine: Running) -> None:
    text = "0123456789abcdef" * 65536
    assert on_node(machine, "cat", input=text).stdout == text


def test_what_can_not_be_started_is_an_error_and_not_an_exit_code(machine: Running) -> None:
    with pytest.raises(NodeShellError, match=r'exec: "nonsense": executable file not found in \$PATH'):
        on_node(machine, "nonsense")
    with pytest.raises(NodeShellError, match="there is no machine 'moon'; there are: lab, outside"):
        on_node(machine, "true", place="moon")
    with pytest.raises(ClusterNotRunning):
        shell.capture(machine.config.state_dir / "no.sock", "lab", ["true"])


def test_a_command_that_takes_too_long_is_ended(machine: Running) -> None:
    with pytest.raises(NodeShellError, match=r"'sleep 4321' was still running after 0\.2 s"):
        on_node(machine, "sleep", "4321", timeout=0.2)
    until(lambda: "4321" not in on_node(machine, "ps", "ax").stdout)


def test_the_client_hands_its_own_streams_over(machine: Running, tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_text("from a file\n")
    with source.open() as stdin, target.open("w") as stdout:
        assert client(machine, "cat", stdin=stdin.fileno(), stdout=stdout.fileno()).wait(10) == 0
    assert target.read_text() == "from a file\n"


def test_killing_the_client_kills_the_command_and_its_children(machine: Running) -> None:
    process = client(machine, "sh", "-c", "echo on; sleep 4322; true", stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"on\n"
    process.kill()
    process.wait()
    process.stdout.close()
    until(lambda: "4322" not in on_node(machine, "ps", "ax").stdout)


def test_an_interrupt_reaches_the_command(machine: Running) -> None:
    script = "trap 'echo interrupted; exit 6' INT; echo on; while true; do sleep 0.02; done"
    process = client(machine, "sh", "-c", script, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"on\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 6
    assert process.stdout.read() == b"interrupted\n"
    process.stdout.close()


def test_the_clients_error_is_one_sentence(machine: Running) -> None:
    process = client(machine, "nonsense", stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _out, err = process.communicate(timeout=10)
    assert process.returncode == 127
    assert err == b'exec: "nonsense": executable file not found in $PATH\n'


def test_a_login_shell_in_a_terminal(machine: Running) -> None:
    """Keys, output, the terminal's size, Ctrl-C and the exit code, through two terminals."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.execv(sys.executable, [sys.executable, "-m", "lab_helpers.pocketkube.shell", *client_arguments(machine)])
    read_until(terminal, b"lab")
    os.write(terminal, b"stty cols 99; stty size; tty; echo $TERM-$((40+2))\n")
    shown = read_until(terminal, b"xterm-42")
    assert b" 99\r\n" in shown
    assert b"/dev/pts/" in shown
    os.write(terminal, b"sleep 1000\n")
    until(lambda: "sleep 1000" in on_node(machine, "ps", "ax").stdout)
    os.write(terminal, b"\x03")
    os.write(terminal, b"exit 7\n")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    os.close(terminal)


def client_arguments(machine: Running) -> list[str]:
    return [str(machine.config.shell_socket), "lab"]


def read_until(terminal: int, text: bytes) -> bytes:
    shown = b""
    deadline = time.monotonic() + 10
    while text not in shown:
        assert select.select([terminal], [], [], deadline - time.monotonic())[0], shown
        shown += os.read(terminal, 4096)
    return shown


def test_the_client_imports_next_to_nothing() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, lab_helpers.pocketkube.shell as _; print(*sys.modules)"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert {"asyncio", "aiohttp", "click", "rich", "kubernetes", "subprocess"}.isdisjoint(loaded)
