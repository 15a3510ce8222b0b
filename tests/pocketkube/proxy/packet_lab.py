"""A node, its Pods and a machine outside, as namespaces of the kernel: connects for real and says what happened.

Run as `unshare -Urn python packet_lab.py`; stdin: JSON with the rules text (`rules` for iptables-restore, `table` for
nft) and what is to be tried; stdout: JSON.

    attempts   one connection each: the answer ("SERVER saw CLIENT", "refused" or "silence") and the rules of nat that
               counted packets meanwhile
    series     many connections each: how often each server answered, and how many packets each rule of nat counted
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

PORT = 8080
PATIENCE = 1.0


def listen() -> None:
    """Tells every client at which address it arrived, and from which it came."""
    server = socket.create_server(("", PORT))
    while True:
        client, address = server.accept()
        with client:
            client.sendall(f"{client.getsockname()[0]}:{PORT} saw {address[0]}".encode())


def connect(source: str, destination: str, port: int) -> str:
    try:
        with socket.create_connection((destination, port), PATIENCE, (source, 0)) as client:
            return client.recv(200).decode()
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "silence"


def be_a_place() -> None:
    """Another machine: waits until it has a network, then answers, and connects when told."""
    print("here", flush=True)
    sys.stdin.readline()
    threading.Thread(target=listen, daemon=True).start()
    print("listening", flush=True)
    for line in sys.stdin:
        source, destination, port = line.split()
        print(connect(source, destination, int(port)), flush=True)


class Place:
    """A process in a network namespace of its own."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            ["unshare", "-n", sys.executable, __file__, "place"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.read()

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def tell(self, line: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.read()

    def ip(self, *commands: str) -> None:
        for command in commands:
            run("nsenter", "-t", str(self.process.pid), "-n", "ip", *command.split())


def run(*argv: str, input: str = "") -> str:
    return subprocess.run(argv, input=input, text=True, check=True, stdout=subprocess.PIPE).stdout


def ip(*commands: str) -> None:
    for command in commands:
        run("ip", *command.split())


def set_up() -> dict[str, Place]:
    """Pods on routed links as on a node of pocketkube, and outside a machine that another node's Pod lives on."""
    addresses = {"pod2": "10.244.0.2", "pod3": "10.244.0.3", "pod9": "10.244.0.9", "outside": "10.244.1.2"}
    places = {name: Place() for name in addresses}
    ip("link set lo up")
    for setting, value in (("ip_forward", "1"), ("conf/all/route_localnet", "1"), ("icmp_ratelimit", "0")):
        Path(f"/proc/sys/net/ipv4/{setting}").write_text(value)
    for name, place in places.items():
        ip(f"link add {name} type veth peer name eth0 netns {place.process.pid}", f"link set {name} up")
        place.ip("link set lo up", "link set eth0 up")
        place.ip(f"addr add {addresses[name]}/32 dev {'lo' if name == 'outside' else 'eth0'}")
        if name == "outside":
            ip(f"addr add 192.168.49.2/24 dev {name}", "route add default via 192.168.49.1")
            place.ip("addr add 192.168.49.1/24 dev eth0", "route add default via 192.168.49.2")
            place.ip("route add 192.168.49.200 via 192.168.49.2")
        else:
            Path(f"/proc/sys/net/ipv4/conf/{name}/proxy_arp").write_text("1")
            Path(f"/proc/sys/net/ipv4/neigh/{name}/proxy_delay").write_text("0")
            ip(f"route add {addresses[name]} dev {name}")
            place.ip("route add 169.254.1.1 dev eth0", "route add default via 169.254.1.1")
        place.tell("go")
    return places


def counted() -> list[str]:
    """The rules of nat that met a packet, as `CHAIN:NUMBER`."""
    found, numbers = [], dict[str, int]()
    for line in run("iptables-save", "-c", "-t", "nat").splitlines():
        if not line.startswith("["):
            continue
        chain = line.split()[2]
        numbers[chain] = numbers.get(chain, 0) + 1
        if not line.startswith("[0:"):
            found.append(f"{chain}:{numbers[chain]}")
    return found


def packets() -> dict[str, int]:
    """The chains of nat, and how many packets all their rules together counted."""
    found: dict[str, int] = {}
    for line in run("iptables-save", "-c", "-t", "nat").splitlines():
        if line.startswith("["):
            chain = line.split()[2]
            found[chain] = found.get(chain, 0) + int(line[1:].partition(":")[0])
    return found


def main() -> None:
    task = json.loads(sys.stdin.read())
    places = set_up()
    if task.get("rules"):
        run("iptables-restore", "--noflush", input=task["rules"])
    if task.get("table"):
        run("nft", "-f", "-", input=task["table"])
    results = []
    for source, destination, port, times in task.get("series", ()):
        run("iptables", "-t", "nat", "-Z")
        answers = Counter(connect(source, destination, port).partition(" ")[0] for _ in range(times))
        results.append({"answers": answers, "packets": packets()})
    for where, source, destination, port in task.get("attempts", ()):
        run("iptables", "-t", "nat", "-Z")
        if where == "node":
            answer = connect(source, destination, port)
        else:
            answer = places[where].tell(f"{source} {destination} {port}")
        results.append({"answer": answer, "met": counted()})
    print(json.dumps(results))
    for place in places.values():
        place.process.kill()
        place.process.wait()


if __name__ == "__main__":
    be_a_place() if sys.argv[1:] else main()
