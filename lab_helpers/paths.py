"""Where ServiceLab keeps a cluster's files, and where the chapters are.

One folder a cluster, private to its user; `servicelab down` removes it. Names and limits only: making and
removing the folder is left to the cluster.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from .errors import InvalidInput

DEFAULT_NAME = "servicelab"
MAX_SOCKET_PATH = 107
"""Longest path of a Unix socket on Linux (sun_path is 108 bytes with its end mark)."""
LONGEST_SOCKET_NAME = "kubelet.sock"

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")


def default_name() -> str:
    """The cluster that is meant when none is named: $SERVICELAB_NAME, else `servicelab`."""
    return os.environ.get("SERVICELAB_NAME") or DEFAULT_NAME


def name_option(name: str) -> str:
    """What a `servicelab` command needs behind it to mean that cluster; nothing for the one it means anyway."""
    return "" if name == default_name() else f" --name {name}"


def check_name(name: str) -> str:
    """`name`, if a cluster can have it: it becomes the node's name, so it must be a DNS label.

    Raises InvalidInput.
    """
    if _NAME.fullmatch(name):
        return name
    raise InvalidInput(
        f"A cluster can't be named {name!r}.",
        hint="Use up to 40 lower-case letters, digits and '-', beginning and ending with a letter or a digit.",
    )


def state_root() -> Path:
    """The folder of all clusters: $SERVICELAB_HOME, else $XDG_STATE_HOME/servicelab, else ~/.local/state/servicelab."""
    if home := os.environ.get("SERVICELAB_HOME"):
        return Path(home).expanduser().absolute()
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "servicelab"


def state_dir(name: str) -> Path:
    """The folder of one cluster. Raises InvalidInput if its sockets could not be made there."""
    folder = state_root() / check_name(name)
    if len(os.fsencode(folder / LONGEST_SOCKET_NAME)) > MAX_SOCKET_PATH:
        raise InvalidInput(
            f"The path {folder} is too long for the cluster's sockets.",
            hint="Set SERVICELAB_HOME to a shorter folder, for example SERVICELAB_HOME=~/.sl.",
        )
    try:
        folder.exists()
    except OSError as error:
        raise InvalidInput(
            f"The folder {folder} can't be looked into: {error.strerror}.",
            hint="Set SERVICELAB_HOME to a folder of yours.",
        ) from error
    return folder


def chapters_dir() -> Path:
    """The chapters as they were installed: in the wheel, or the checkout's labs/ beside the package."""
    package = Path(__file__).parent
    installed = package / "labs"
    return installed if installed.is_dir() else package.parent / "labs"
