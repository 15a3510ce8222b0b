"""Chapter 2 in JupyterLab, in a real Chromium: every cell runs, the picture lives, nothing is red.

With SERVICELAB_SCREENSHOTS=FOLDER the pages are kept as pictures to look at.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "labs"))
from chapters import copy_labs, solve

from lab_helpers.clusters.base import Cluster
from lab_helpers.exercises import chapter
from lab_helpers.exercises.workspace import Workspace

pytestmark = [pytest.mark.browser, pytest.mark.kernel, pytest.mark.kubectl]

NOTEBOOK = "02-clusterip.ipynb"
TOKEN = "a-test"
RUN_ALL = "async () => { await window.jupyterapp.commands.execute('notebook:run-all-cells'); }"
GO_TO = (
    "id => { for (const e of document.querySelectorAll('.jp-Cell')) if (e.innerText.includes(id)) e.scrollIntoView() }"
)


@pytest.fixture
def folder(cluster: Cluster, tmp_path: Path) -> Path:
    """A learner's folder, with an empty namespace on the cluster."""
    labs = copy_labs(tmp_path)
    workspace = Workspace(cluster, chapter(2).namespace, labs)
    workspace.prepare(2)
    workspace.reset()
    return labs


@pytest.fixture
def jupyter(cluster: Cluster, folder: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a JupyterLab on that folder."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser"]
    command += [f"--ServerApp.root_dir={folder}", f"--ServerApp.port={port}", f"--IdentityProvider.token={TOKEN}"]
    environment = {
        **os.environ,
        "SERVICELAB_NAME": cluster.name,
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
        "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces"),
    }
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while not _answers(f"{address}/api?token={TOKEN}"):
        assert time.monotonic() < deadline and server.poll() is None, "JupyterLab did not start"
        time.sleep(0.2)
    yield address
    server.terminate()
    server.wait(20)


@pytest.fixture
def page(jupyter: str) -> Iterator[Any]:
    """The chapter in a browser, with the errors of its console in `page.errors`."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1300, "height": 1000})
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.open_chapter = lambda: _open(page, f"{jupyter}/lab/tree/{NOTEBOOK}?token={TOKEN}")
        yield page
        browser.close()


def test_an_untouched_chapter_runs_through(page: Any) -> None:
    page.open_chapter()
    page.evaluate(RUN_ALL)
    _assert_calm(page)
    _screenshot(page, "untouched")


def test_a_solved_chapter_shows_every_pass_and_a_living_picture(folder: Path, page: Any) -> None:
    solve(folder / NOTEBOOK)
    page.open_chapter()
    page.evaluate(RUN_ALL)
    _assert_calm(page)
    _screenshot(page, "solved")
    page.evaluate("async () => { await window.jupyterapp.commands.execute('docmanager:save'); }")
    saved = (folder / NOTEBOOK).read_text()
    for exercise in ("2.1", "2.2", "2.3"):
        assert f"Exercise {exercise}: passed" in saved
    assert "ClusterIP 10.96." in _saved_picture(saved), "the picture was not updated after the Service was made"


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


def _open(page: Any, url: str) -> None:
    page.goto(url)
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
    page.wait_for_function("() => window.jupyterapp?.commands.hasCommand('notebook:run-all-cells')")
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status='idle']", timeout=60_000)


def _assert_calm(page: Any) -> None:
    """No cell is red, and the page itself has no error."""
    assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
    assert page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    assert page.errors == []


def _saved_picture(notebook: str) -> str:
    """The SVG that was saved with the cell of the live picture."""
    cell = notebook[notebook.index("lab.live(") - 6000 : notebook.index("service-story")]
    return "".join(re.findall(r"<text[^>]*>([^<]*)</text>", cell))


def _screenshot(page: Any, name: str) -> None:
    folder = os.environ.get("SERVICELAB_SCREENSHOTS")
    if not folder:
        return
    for mark in ("title", "It works", "demo-service", "Exercise 2.3", "points"):
        page.evaluate(GO_TO, mark)
        page.wait_for_timeout(300)
        page.screenshot(path=f"{folder}/{name}-{mark.replace(' ', '-')}.png")
