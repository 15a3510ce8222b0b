"""`servicelab lab`: the chapters in the learner's folder, and JupyterLab on the first of them.

Never overwrites a file. What is in the chapters is left to labs/.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from .clusters import EmbeddedCluster
from .errors import InvalidInput
from .paths import chapters_dir, name_option

DEFAULT_FOLDER = "servicelab-labs"

CHAPTER_FILES = ("*.ipynb", "manifests/*.yml")
"""What a learner gets: not what a run of the chapters left beside them."""


def copy_chapters(folder: Path) -> list[Path]:
    """Copies every chapter and manifest that `folder` does not have; returns what was copied.

    Raises InvalidInput if the folder can't be written to.
    """
    source = chapters_dir()
    copied = []
    try:
        for original in sorted(path for kind in CHAPTER_FILES for path in source.glob(kind)):
            target = folder / original.relative_to(source)
            if target.exists():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(original, target)
            copied.append(target)
    except OSError as error:
        raise InvalidInput(
            f"The chapters can't be copied to {folder}: {error.strerror}.",
            hint="Name a folder of yours: servicelab lab DIR",
        ) from error
    return copied


def first_chapter(folder: Path) -> Path:
    """The chapter that JupyterLab opens."""
    return min(folder.glob("[0-9][0-9]-*.ipynb"))


def prepare_folder(folder: Path | None) -> Path:
    """The learner's folder with the chapters in it. Raises InvalidInput if it can't be written to."""
    folder = (folder or Path(DEFAULT_FOLDER)).expanduser().absolute()
    copied = copy_chapters(folder)
    print(f"Chapters in {folder}: {len(copied)} files copied." if copied else f"Chapters in {folder}.", flush=True)
    return folder


def open_lab(cluster: EmbeddedCluster, folder: Path, jupyter_args: list[str]) -> int:
    """Runs JupyterLab until it is ended; returns its exit code, 130 after Ctrl-C. The cluster goes on."""
    code = _run_jupyter(cluster, folder, jupyter_args)
    option = name_option(cluster.name)
    print(f"\nThe cluster {cluster.name!r} still runs. End it with: servicelab down{option}")
    return code


def _config_path() -> str:
    """Where Jupyter looks for settings: the user's own folders, then ours, which keeps its news pop-up away."""
    own = str(Path(__file__).parent / "jupyter")
    return os.pathsep.join(filter(None, [os.environ.get("JUPYTER_CONFIG_PATH", ""), own]))


def _run_jupyter(cluster: EmbeddedCluster, folder: Path, jupyter_args: list[str]) -> int:
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}"]
    if os.geteuid() == 0:
        command.append("--allow-root")
    # As the default page rather than as the file to open, so that the address it prints leads there, too.
    command += [f"--LabApp.default_url=/lab/tree/{first_chapter(folder).name}", *jupyter_args]
    environment = {**os.environ, **cluster.environment, "JUPYTER_CONFIG_PATH": _config_path()}
    # Until JupyterLab has its own answer to Ctrl-C, it must not see one: it would end with a traceback.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = subprocess.Popen(command, env=environment, cwd=folder)
    signal.signal(signal.SIGINT, before)
    while True:
        try:
            return server.wait()
        except KeyboardInterrupt:
            if sys.stdin.isatty() and _is_serving(server.pid):
                continue  # It asks on the terminal what is meant; this command waits for the answer.
            server.terminate()
            server.wait()
            return 130
        except SystemExit:
            server.terminate()
            server.wait()
            raise


def _is_serving(pid: int) -> bool:
    """True once JupyterLab has written down where it listens."""
    from jupyter_core.paths import jupyter_runtime_dir

    return Path(jupyter_runtime_dir(), f"jpserver-{pid}.json").exists()
