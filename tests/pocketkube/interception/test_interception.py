"""Programs whose system calls are answered by us find themselves in a container: their files, folders, names, ports.

Real programs are run, each behind the filter that containers have.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest

from lab_helpers.pocketkube.config import ClusterConfig
from lab_helpers.pocketkube.interception import filter
from lab_helpers.pocketkube.interception.files import Files
from lab_helpers.pocketkube.interception.interceptor import Interceptor
from lab_helpers.pocketkube.interception.probe import why_not
from lab_helpers.pocketkube.interception.programs import Programs
from lab_helpers.pocketkube.interception.sockets import SocketBook, Sockets
from lab_helpers.pocketkube.interception.view import View
from lab_helpers.pocketkube.kubelet.runtime import Layer, Mount
from lab_helpers.pocketkube.network.userspace import UserspaceEngine

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")

DEADLINE = 20.0


class Container:
    """Runs programs one after the other in the same simulated container."""

    def __init__(self, folder: Path, **layers: object) -> None:
        self.root = folder / "root"
        self.root.mkdir()
        self.engine = UserspaceEngine(ClusterConfig("lab", folder))
        self.pod = self.engine.attach("lab", "pod")
        self.book = SocketBook()
        view = View(self.root, hidden=[str(folder)], shown=[sys.prefix, sys.base_prefix], **layers)  # type: ignore[arg-type]
        self.files = Files(view, Programs(folder / "programs"))

    def run(self, *argv: str) -> str:
        """The output of a program, standard error included; its last line is the exit code if that is not 0."""
        return asyncio.run(self._run(argv))

    def sh(self, script: str) -> str:
        return self.run("/bin/sh", "-c", script)

    async def _run(self, argv: tuple[str, ...]) -> str:
        output, theirs = os.pipe()
        ours, child_end = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            try:
                for number in (1, 2):
                    os.dup2(theirs, number)
                os.chdir(self.files.programs.folder)
                os.dup2(child_end.fileno(), filter.UNASKED_DESCRIPTOR, inheritable=False)
                unasked = socket.socket(fileno=filter.UNASKED_DESCRIPTOR)
                socket.send_fds(unasked, [b"+"], [filter.install()])
                os.execve(argv[0], list(argv), {"PATH": "/usr/local/bin:/usr/bin:/bin"})
            except OSError as error:
                os.write(2, f"{error}\n".encode())
            finally:
                os._exit(127)
        os.close(theirs)
        _, (listener,), _, _ = socket.recv_fds(ours, 1, 1)
        for end in (ours, child_end):
            end.close()
        sockets = Sockets(self.pod, self.engine.connections, self.book, self.files)
        interceptor = Interceptor(listener, "pod", sockets, self.files)
        with os.fdopen(output, "rb") as stream:
            reader = asyncio.StreamReader()
            loop = asyncio.get_running_loop()
            await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), stream)
            async with asyncio.timeout(DEADLINE):
                said = (await reader.read()).decode()
        interceptor.close()
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return said if code == 0 else f"{said}{code}"


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return Container(tmp_path)


def test_the_host_s_name_is_the_container_s(container: Container) -> None:
    assert container.run("/bin/hostname") == "pod\n"
    assert container.run("/bin/uname", "-n") == "pod\n"


def test_what_is_written_stays_in_the_container(container: Container) -> None:
    assert container.sh("echo mine > /etc/hosts && cat /etc/hosts") == "mine\n"
    assert (container.root / "etc/hosts").read_text() == "mine\n"
    assert "mine" not in Path("/etc/hosts").read_text()
    assert container.sh("mkdir -p /data/a && echo 1 > /data/a/b && mv /data/a /data/c && cat /data/c/b") == "1\n"
    assert not Path("/data/c").exists()


def test_the_machine_s_own_files_can_be_read_but_not_removed(container: Container) -> None:
    assert "Read-only file system" in container.sh("test -x /bin/ls && rm /bin/ls")
    assert Path("/bin/ls").exists()
    assert "Read-only file system" in container.sh("rmdir /usr/local/games || rmdir /usr/local/bin")


def test_only_the_machine_s_programs_and_settings_are_seen(container: Container, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    assert "No such file" in container.run("/bin/cat", str(tmp_path / "secret"))
    assert container.run("/bin/cat", "/etc/shadow").endswith("1")


def test_folders_that_only_the_container_has_can_be_worked_in(container: Container) -> None:
    script = "mkdir -p /app/sub && cd /app/sub && pwd && echo 1 > x && ls && cd .. && pwd && cat sub/x; cd sub; cat x"
    assert container.sh(script) == "/app/sub\nx\n/app\n1\n1\n"
    assert container.sh("cd /nowhere").endswith("2")


def test_programs_of_the_container_run_by_any_of_their_names(container: Container) -> None:
    script = "mkdir /app; cd /app; printf '#!/bin/sh\\necho ran $1 in $(pwd)\\n' > run; chmod +x run; {}"
    assert container.sh(script.format("./run a")) == "ran a in /app\n"
    assert container.sh("cd /; /app/run b; PATH=/app:$PATH; run c; cd /usr; ../app/run d") == (
        "ran b in /\nran c in /\nran d in /usr\n"
    )
    assert "Permission denied" in container.sh("echo > /app/data; /app/data")


def test_symbolic_links_lead_to_the_container_s_files(container: Container) -> None:
    script = "mkdir /d; echo in > /d/f; ln -s /d/f /l; ln -s d /m; cat /l /m/f; readlink /l"
    assert container.sh(script) == "in\nin\n/d/f\n"


def test_mounts_and_images_lie_over_the_machine_s_files(tmp_path: Path) -> None:
    for name, text in (("volume", "from the volume"), ("image", "from the image")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(text)
    container = Container(
        tmp_path,
        mounts=[Mount(tmp_path / "volume", "/etc/volume", read_only=True)],
        layers=[Layer(tmp_path / "image", "/opt/image")],
    )
    assert container.run("/bin/cat", "/etc/volume/file") == "from the volume"
    assert "Read-only file system" in container.sh("echo x > /etc/volume/file")
    assert container.sh("cat /opt/image/file; echo own > /opt/image/file; cat /opt/image/file") == "from the imageown\n"
    assert (tmp_path / "image" / "file").read_text() == "from the image"


def test_raw_sockets_and_the_machine_s_interfaces_are_out_of_reach(container: Container) -> None:
    script = """
import socket
for family, kind in ((socket.AF_INET, socket.SOCK_RAW), (socket.AF_PACKET, socket.SOCK_RAW), (16, socket.SOCK_RAW)):
    try:
        socket.socket(family, kind, 1)
    except OSError as error:
        print(error.strerror)
"""
    assert container.run(sys.executable, "-c", script).splitlines() == [
        "Operation not permitted", "Operation not permitted", "Address family not supported by protocol",
    ]  # fmt: skip


def test_no_packet_leaves_the_simulated_network(container: Container) -> None:
    """The machine's own loopback, where this test listens, is as far away as any other address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        script = f"""
import socket
for where in (("127.0.0.1", {port}), ("::1", {port})):
    try:
        socket.create_connection(where, 1)
    except OSError as error:
        print(error.strerror)
"""
        assert container.run(sys.executable, "-c", script) == "Connection refused\n" * 2
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_server_knows_its_clients_by_their_simulated_addresses(container: Container) -> None:
    script = """
import socket, threading
server = socket.create_server(("", 80))
print(server.getsockname())
client = socket.create_connection(("{ip}", 80))
connection, address = server.accept()
print(address == client.getsockname(), connection.getpeername() == address, client.getpeername())
connection.sendall(b"hello")
print(client.recv(5))
dual = socket.create_server(("", 81), family=socket.AF_INET6, dualstack_ipv6=True)
socket.create_connection(("{ip}", 81))
print(dual.accept()[1][0])
"""
    said = container.run(sys.executable, "-c", script.format(ip=container.pod.ip)).splitlines()
    assert said == [
        "('0.0.0.0', 80)", f"True True ('{container.pod.ip}', 80)", "b'hello'", f"::ffff:{container.pod.ip}",
    ]  # fmt: skip


def test_datagrams_go_by_the_rules_too(container: Container) -> None:
    script = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); server.bind(("", 53))
for connected in (True, False):
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if connected:
        client.connect(("{ip}", 53)); client.send(b"q")
    else:
        client.sendto(b"q", ("{ip}", 53))
    data, back = server.recvfrom(10)
    server.sendto(b"a", back)
    print(client.recv(10))
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.connect(("{ip}", 54)); client.send(b"q")
try:
    client.recv(10)
except OSError as error:
    print(error.strerror)
"""
    said = container.run(sys.executable, "-c", script.format(ip=container.pod.ip))
    assert said == "b'a'\nb'a'\nConnection refused\n"


def test_asyncio_servers_and_clients_work_unchanged(container: Container) -> None:
    script = """
import asyncio
async def main():
    async def serve(reader, writer):
        writer.write(await reader.readline()); await writer.drain(); writer.close()
    server = await asyncio.start_server(serve, None, 8080)
    reader, writer = await asyncio.open_connection("{ip}", 8080)
    writer.write(b"echo\\n")
    print(await reader.read())
    server.close()
asyncio.run(main())
"""
    assert container.run(sys.executable, "-c", script.format(ip=container.pod.ip)) == "b'echo\\n'\n"


def test_a_program_that_waits_for_connections_can_be_interrupted(container: Container) -> None:
    """A server that blocks in accept(2) gets its signals, and then its connection."""
    script = """
import signal, socket, threading, time
signal.signal(signal.SIGALRM, lambda *_: print("interrupted"))
signal.setitimer(signal.ITIMER_REAL, 0.05)
server = socket.create_server(("", 80))
def connect():
    time.sleep(0.2)
    socket.create_connection(("127.0.0.1", 80)).sendall(b"late")
threading.Thread(target=connect).start()
print(server.accept()[0].recv(10))
"""
    assert container.run(sys.executable, "-c", script) == "interrupted\nb'late'\n"
