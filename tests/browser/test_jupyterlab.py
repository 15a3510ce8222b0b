"""Chapter 2 in JupyterLab, in a real Chromium: every cell runs, the picture lives, nothing is red.

With SERVICELAB_SCREENSHOTS=FOLDER the pages are kept as pictures to look at.
"""

from __future__ import annotations

import os
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
from chapters import copy_labs, read, solve, text_of

from lab_helpers.clusters.base import Cluster
from lab_helpers.exercises import chapter
from lab_helpers.exercises.workspace import Workspace

pytestmark = [pytest.mark.browser, pytest.mark.kernel, pytest.mark.kubectl]

NOTEBOOK = "02-clusterip.ipynb"
TOKEN = "a-test"
RUN_ALL = "() => { window.jupyterapp.commands.execute('notebook:run-all-cells') }"
SAVE = "() => { window.jupyterapp.commands.execute('docmanager:save') }"
DARK = "() => { window.jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Dark' }) }"
CELLS = "window.jupyterapp.shell.currentWidget.content.widgets"
ALL_DONE = f"""() => {CELLS}.filter(cell => cell.model.type === 'code')
  .every(cell => cell.model.executionCount && cell.model.executionState === 'idle')"""
KERNEL_IDLE = "() => window.jupyterapp.shell.currentWidget?.context?.sessionContext.session?.kernel?.status === 'idle'"
SAVED = "() => !window.jupyterapp.shell.currentWidget.context.model.dirty"
OUTPUT_SIZES = f"""id => {{
  const cell = {CELLS}.find(cell => cell.model.id === id);
  const output = cell.node.querySelector('.jp-RenderedSVG'), picture = output.querySelector('img');
  const scrolls = getComputedStyle(output).overflowX !== 'visible';
  return {{ shown: picture.clientWidth, natural: picture.naturalWidth, room: output.clientWidth,
           reached: output.scrollWidth, scrolls }};
}}"""
GO_TO = f"""id => {{
  const index = {CELLS}.findIndex(cell => cell.model.id === id);
  window.jupyterapp.shell.currentWidget.content.scrollToItem(index, 'start');
}}"""


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


def test_an_untouched_chapter_runs_through(folder: Path, page: Any) -> None:
    cells = run_all(page, folder)
    _screenshots(page, "untouched", "start", "check-2-1", "live", "rules", "traffic-report")
    assert "not there yet" in text_of(cells["check-2-3"])


def test_a_solved_chapter_shows_every_pass_and_a_living_picture(folder: Path, page: Any) -> None:
    solve(folder / NOTEBOOK)
    cells = run_all(page, folder)
    _screenshots(page, "solved", "check-2-1", "live", "check-2-2", "find-ip", "stray-space", "resolv", "traffic-report")
    for exercise in ("2-1", "2-2", "2-3"):
        assert "passed" in text_of(cells[f"check-{exercise}"])
    (output,) = cells["live"].outputs
    assert "ClusterIP 10.96." in output.data["image/svg+xml"], "the picture was not updated when the Service came"
    for width in (1280, 800):
        page.set_viewport_size({"width": width, "height": 900})
        _screenshots(page, f"wide-{width}", "live", "traffic-report")
        page.evaluate(GO_TO, "live")
        page.wait_for_timeout(300)
        sizes = page.evaluate(OUTPUT_SIZES, "live")
        assert sizes["shown"] == sizes["natural"], "text changes its size with the page"
        assert sizes["scrolls"] and sizes["reached"] == max(sizes["natural"], sizes["room"])
        assert width < 1280 or sizes["natural"] <= sizes["room"]
    page.evaluate(DARK)
    _screenshots(page, "dark", "live", "check-2-3", "traffic-report")


def run_all(page: Any, folder: Path) -> dict[str, Any]:
    """Opens the chapter, runs every cell, saves it; no cell may fail. Gives the saved cells by id."""
    page.open_chapter()
    page.evaluate(RUN_ALL)
    page.wait_for_function(ALL_DONE, timeout=120_000)
    page.evaluate(SAVE)
    page.wait_for_function(SAVED)
    cells = {cell.id: cell for cell in read(folder / NOTEBOOK).cells}
    outputs = [output for cell in cells.values() for output in cell.get("outputs", [])]
    assert [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"] == []
    assert page.errors == []
    return cells


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
    page.wait_for_function(KERNEL_IDLE, timeout=60_000)


def _screenshots(page: Any, name: str, *cells: str) -> None:
    folder = os.environ.get("SERVICELAB_SCREENSHOTS")
    for cell in cells if folder else ():
        page.evaluate(GO_TO, cell)
        page.wait_for_timeout(700)
        page.screenshot(path=f"{folder}/{name}-{cell}.png")
