"""`servicelab image`: adding, listing and removing the images that Pods can run.

Images belong to all clusters of this user, or to one of them. The folder's form is left to `image_store`, what the
built-in images are to `image_catalogue`.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .clusters import EmbeddedCluster
from .errors import InvalidInput
from .paths import state_root
from .pocketkube.kubelet.image_catalogue import FOLDER, built_in
from .pocketkube.kubelet.image_store import AddedImage, ImageStore, NewImage

_ANSWER_SECONDS = 2.0


def store_of(name: str | None) -> ImageStore:
    """The images of one running cluster, or of all. Raises ClusterNotRunning."""
    if name is None:
        return ImageStore(state_root() / FOLDER)
    cluster = EmbeddedCluster(name)
    cluster.require_running()
    return ImageStore(cluster.config.state_dir / FOLDER)


def add_as_told(
    cluster: str | None, name: str | None, file: Path | None, settings: Mapping[str, Any]
) -> list[AddedImage]:
    """Adds the image that the options of `servicelab image add` describe, or those of a TOML file.

    Running clusters know them when this returns.
    """
    store = store_of(cluster)
    if file is not None:
        if name or settings["source"]:
            raise InvalidInput("--file describes whole images: neither a NAME nor --from goes with it.")
        added = store.add_file(file, replace=settings["replace"])
    else:
        added = [store.add(_image_as_told(name, settings), replace=settings["replace"])]
    tell_clusters()
    return added


def _image_as_told(name: str | None, settings: Mapping[str, Any]) -> NewImage:
    if not name:
        raise InvalidInput("The image needs a name.", hint="For example: servicelab image add my-app --from ./my-app")
    if not settings["source"] and not settings["base"]:
        raise InvalidInput(
            f"The image {name!r} needs files.", hint=f"For example: servicelab image add {name} --from ./{name}"
        )
    return NewImage(
        name=name,
        source=settings["source"],
        path=settings["path"] or "",
        base=settings["base"],
        entrypoint=words(settings["entrypoint"]),
        cmd=words(settings["cmd"]),
        env=variables(settings["variables"]),
        aliases=settings["aliases"],
        working_dir=settings["workdir"],
        user=settings["user"],
    )


def remove(store: ImageStore, names: Sequence[str]) -> None:
    """Takes images out. Raises InvalidInput for one that was not added."""
    for name in names:
        if not store.remove(name):
            raise _not_added(store, name)
    tell_clusters()


def words(values: Sequence[str]) -> list[str]:
    """A command line, given once as a whole (`"/app serve"` or `'["/app", "serve"]'`) or word by word."""
    if len(values) != 1:
        return list(values)
    if values[0].startswith("["):
        try:
            parsed = json.loads(values[0])
        except ValueError:
            parsed = None
        if isinstance(parsed, list) and all(isinstance(word, str) for word in parsed):
            return parsed
        raise InvalidInput(f"{values[0]} is no list of words.", hint="""For example '["/app", "serve"]'.""")
    try:
        return shlex.split(values[0])
    except ValueError as error:
        raise InvalidInput(f"{values[0]!r} is no command line: {error}.", hint="Check its quotes.") from None


def variables(pairs: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE pairs. Raises InvalidInput."""
    for pair in pairs:
        if "=" not in pair:
            raise InvalidInput(f"{pair!r} is no variable.", hint="Give it as NAME=VALUE.")
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def listing(name: str | None) -> list[dict[str, Any]]:
    """All images that a cluster has, those that were added first."""
    stores = [("this cluster", store_of(name))] if name is not None else []
    rows, hidden = [], set()
    for where, store in [*stores, ("added", store_of(None))]:
        for file in store.files():
            for image, entry in file.entries.items():
                if image not in hidden:
                    rows.append(_row(image, entry, where) | {"file": str(file.path)})
                hidden |= {image, *entry.get("aliases", ())}
    rows += [_row(image, entry, "built in") for image, entry in sorted(built_in().items()) if image not in hidden]
    return rows


def problems(name: str | None) -> list[str]:
    """What is wrong with files of images that were written by hand."""
    stores = [store_of(None)] if name is None else [store_of(name), store_of(None)]
    return [problem for store in stores for file in store.files() for problem in file.problems]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The images for people: a line each, in columns."""
    cells = [("NAME", "WHERE", "ALSO", "RUNS", "ABOUT")]
    for row in rows:
        runs = shlex.join([*row["entrypoint"], *row["cmd"]])
        cells.append((row["name"], row["where"], ",".join(row["aliases"]) or "-", runs or "-", row["about"]))
    widths = [max(len(line[column]) for line in cells) for column in range(4)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, [*widths, 0], strict=True)) for line in cells]
    return "\n".join(line.rstrip() for line in lines)


def tell_clusters() -> None:
    """Has every running cluster look again at the containers that lack an image."""
    with contextlib.suppress(OSError):
        for door in sorted(state_root().glob("*/kubelet.sock")):
            with contextlib.suppress(OSError):
                _post(door)


def _post(door: Path) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_ANSWER_SECONDS)
        client.connect(str(door))
        client.sendall(b"POST /images HTTP/1.1\r\nHost: kubelet\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        while client.recv(4096):
            pass


def _row(name: str, entry: Any, where: str) -> dict[str, Any]:
    base = built_in().get(entry.get("base", ""), {})
    return {
        "name": name,
        "where": where,
        "aliases": list(entry.get("aliases", ())),
        "entrypoint": list(entry.get("entrypoint") or base.get("entrypoint", ())) or _own_program(entry),
        "cmd": list(entry.get("cmd") or base.get("cmd", ())),
        "about": entry.get("about") or _files_of(entry),
        "repository": entry.get("repository", ""),
    }


def _own_program(entry: Any) -> list[str]:
    alone = "from" in entry and not entry.get("cmd") and not entry.get("base")
    return [entry["path"]] if alone and entry.get("path", "/") != "/" and not entry["from"].endswith("/tree") else []


def _files_of(entry: Any) -> str:
    if "from" not in entry:
        return f"{entry.get('base', '')} with other settings".strip()
    size = f", {entry['size'] / 1e6:.1f} MB" if entry.get("size") else ""
    return f"files at {entry.get('path', '/')}{size}"


def _not_added(store: ImageStore, name: str) -> InvalidInput:
    if name in built_in():
        return InvalidInput(f"The image {name!r} is built in and stays.", hint="`image rm` takes away what was added.")
    added = sorted(image for file in store.files() for image in file.entries)
    hint = f"Added are: {', '.join(added)}." if added else "None was added: servicelab image add --help"
    return InvalidInput(f"There is no added image {name!r}.", hint=hint)
