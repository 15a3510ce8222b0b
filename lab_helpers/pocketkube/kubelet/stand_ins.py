"""Network tools for Pods on a machine that lacks them: small Python programs stand in for `nc`, `nslookup`, ...

Pods use the machine's own programs. Images such as busybox have tools that a machine may not have, and lessons use
them; so a container gets each that is missing, under its usual path. What the programs do is theirs.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from ..linux import ADMIN_PATH
from . import programs
from .image_catalogue import run_module
from .runtime import Layer

_PROGRAMS = {
    "dig": "dns_lookup dig",
    "nc": "netcat",
    "nslookup": "dns_lookup nslookup",
    "ping": "ping",
    "wget": "wget",
}
_FOLDER = "/usr/bin"


def stand_ins(layers: Sequence[Layer] = ()) -> Mapping[str, bytes]:
    """Path and text of each tool that neither the machine nor the image has."""
    return {
        path: text for path, text in _missing().items() if not any(_has(layer, Path(path).name) for layer in layers)
    }


@cache
def _missing() -> Mapping[str, bytes]:
    return {
        f"{_FOLDER}/{name}": f'#!/bin/sh\nexec {run_module()} {programs.__name__}.{module} "$@"\n'.encode()
        for name, module in _PROGRAMS.items()
        if shutil.which(name, path=ADMIN_PATH) is None
    }


def _has(layer: Layer, name: str) -> bool:
    """True if the image's own files hold such a program."""
    if Path(layer.path).name == name:
        return True
    return any((layer.source / folder / name).exists() for folder in ("bin", "usr/bin", "usr/local/bin"))
