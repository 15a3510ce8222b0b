"""`Lab`: the one object a notebook holds. It knows the cluster and the chapter, and says in calm words what happened.

Everything here is a thin edge: checks are in `exercises`, pictures in `topology` and `widgets`, requests in `traffic`.
An error that a learner can cause is shown as a sentence and a next step, never as a traceback.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from . import exercises, magics, traffic
from .clusters import EmbeddedCluster
from .clusters.base import Cluster
from .errors import ExerciseError, LabError
from .exercises import runner
from .exercises.progress import Progress
from .exercises.runner import Result
from .exercises.workspace import Workspace
from .topology import draw
from .topology.picture import Picture
from .traffic import Traffic, TrafficReport

GRADING_VARIABLE = "NBGRADER_EXECUTION"

P = ParamSpec("P")
T = TypeVar("T")


class CheckFailed(ExerciseError):
    """A check that had to pass did not. Its text is the whole result."""


def calm(method: Callable[P, T]) -> Callable[P, T | None]:
    """Shows an error that a learner can cause as a sentence; when grading, it is raised."""

    @functools.wraps(method)
    def shown(*args: P.args, **kwargs: P.kwargs) -> T | None:
        try:
            return method(*args, **kwargs)
        except LabError as error:
            if isinstance(error, CheckFailed) or os.environ.get(GRADING_VARIABLE):
                raise
            print(error.message)
            if error.hint:
                print(f"  {error.hint}")
            return None

    return shown


class Lab:
    """One chapter on one cluster.

    `Lab(chapter=2)` uses the cluster named by $SERVICELAB_NAME, else the default one, and starts it if it does not
    run. From then on, plain `kubectl` in this notebook works in the chapter's own namespace.
    """

    def __init__(self, chapter: int, *, cluster: Cluster | None = None, folder: str | Path = ".") -> None:
        shell = _ipython()
        if shell:
            magics.show_errors_calmly(shell)
        self.chapter = exercises.chapter(chapter)
        self.cluster = cluster or _find_or_start()
        self._progress = Progress(Path(folder).absolute(), chapter)
        self.workspace = Workspace(self.cluster, self.chapter.namespace, Path(folder).absolute(), self._progress.memory)
        self._hints: dict[str, dict[str, int]] = {}
        self._traffic: Traffic | None = None
        self.workspace.prepare(chapter)
        os.environ.update(self.workspace.environment)
        if shell:
            magics.register(self, shell)
        threading.Thread(target=_warm_up, name="warm up", daemon=True).start()
        print(f"Chapter {chapter}: {self.chapter.title}")
        print(f"Cluster {self.cluster.name} ({self.cluster.kind}), namespace {self.chapter.namespace}: ready.")

    @calm
    def check(self, exercise: str, *, strict: bool | None = None) -> Result | None:
        """Looks at the cluster and says what is as the exercise wants it, and what is not yet.

        With `strict`, and always while grading, an exercise that is not passed raises CheckFailed, and an earlier
        pass does not count.
        """
        grading = bool(os.environ.get(GRADING_VARIABLE))
        strict = grading if strict is None else strict
        wanted = self.chapter.exercise(exercise)
        self.chapter.observe(self.workspace)
        result = runner.run(wanted, self.workspace)
        self._progress.remember(self.workspace.memory)
        if result.passed_now:
            self._progress.record_pass(exercise)
            self._hints.pop(exercise, None)
        if strict and not result.passed_now and not result.skipped:
            raise CheckFailed(str(result))
        if grading:
            print(result)
            return None
        return Result(wanted, result.findings, "" if strict else self._progress.passed(exercise), result.skipped)

    @calm
    def hint(self, exercise: str) -> None:
        """Says where to look next, from what the cluster shows now; asked again, it says more."""
        wanted = self.chapter.exercise(exercise)
        self.chapter.observe(self.workspace)
        print(runner.next_hint(wanted.check(self.workspace), self._hints.setdefault(exercise, {})))

    @calm
    def solution(self, exercise: str) -> None:
        """Prints commands that solve the exercise."""
        for command in self.chapter.exercise(exercise).solution:
            print(command)

    @calm
    def reset(self, exercise: str | None = None) -> None:
        """Empties the chapter's namespace; with an exercise, brings it to where that exercise begins.

        Passed exercises stay passed. Nothing outside the namespace is touched.
        """
        wanted = self.chapter.exercise(exercise) if exercise else None
        self.workspace.reset()
        self._hints.clear()
        if wanted:
            self.workspace.run(wanted.setup)
            self.chapter.observe(self.workspace)
        self._progress.remember(self.workspace.memory)
        print(f"The namespace {self.chapter.namespace} is {f'ready for exercise {exercise}' if wanted else 'empty'}.")

    def progress(self) -> None:
        """Prints what is done and what is left."""
        done = 0
        for exercise in self.chapter.exercises:
            passed = self._progress.passed(exercise.id)
            done += exercise.points if passed else 0
            print(f"  [{'x' if passed else ' '}] {exercise.id} {exercise.title} ({exercise.points} points)")
        print(f"{done} of {sum(exercise.points for exercise in self.chapter.exercises)} points")

    @calm
    def topology(self, service: str) -> Picture:
        """The path of a Service's traffic, as it is now."""
        return draw(self.cluster, service, self.chapter.namespace)

    @calm
    def live(self, service: str) -> None:
        """The same picture, kept up to date while you work on."""
        from .widgets.live_topology import show_live

        show_live(self.cluster, service, self.chapter.namespace)

    @calm
    def traffic(
        self, to: str, *, source: str = "node", n: int = 200, rate: float | None = None, timeout: float = 2.0
    ) -> TrafficReport:
        """Sends requests to a Service or URL from `node`, `pod/NAME` or `outside`, and says what became of them."""
        return traffic.send(
            self.cluster, to, source=source, n=n, rate=rate, timeout=timeout, namespace=self.chapter.namespace
        )

    @calm
    def start_traffic(
        self, to: str, *, source: str = "node", n: int = 200, rate: float | None = None, timeout: float = 2.0
    ) -> None:
        """Like `traffic`, but returns at once: do something to the Pods, then ask for `traffic_report`."""
        self._traffic = traffic.start(
            self.cluster, to, source=source, n=n, rate=rate, timeout=timeout, namespace=self.chapter.namespace
        )
        print(f"{n} requests are on their way to {self._traffic.report.url} from {source}.")

    @calm
    def traffic_report(self) -> TrafficReport:
        """Waits for the requests of `start_traffic` and says what became of them."""
        if self._traffic is None:
            raise ExerciseError("No requests are on their way.", hint="Start some with lab.start_traffic(...).")
        return self._traffic.wait()


def _find_or_start() -> Cluster:
    """The default cluster, started if it does not run, with progress on one line a step."""
    cluster = EmbeddedCluster()
    if not cluster.is_running():
        print(f"Starting the cluster {cluster.name} ...")
        cluster.start(resume=cluster.has_stale_state(), on_progress=lambda step: print(f"  {step}"))
    return cluster


def _ipython() -> Any:
    """The IPython shell that this runs in, or None."""
    from IPython.core import getipython

    get_ipython: Any = getipython.get_ipython
    return get_ipython()


def _warm_up() -> None:
    """Imports what the first picture and the first check will need."""
    import graphviz  # noqa: F401
    import kubernetes.client  # noqa: F401
