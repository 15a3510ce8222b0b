"""Real requests from a node, a Pod or the machine outside, one after the other, and what became of each.

One client program, curl, runs in that place for the whole series, so the pace is kept there; its output is read while
it runs. So a lesson can delete Pods meanwhile and see when requests failed.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import median

from .clusters.base import Cluster, RunningCommand
from .errors import InvalidInput, NodeShellError
from .kubectl import launch_kubectl
from .reader import Reader
from .report import bars, document

_CLIENT = r"""
command -v curl >/dev/null || { echo "there is no curl here"; exit 127; }
n=$1 timeout=$2 an_hour=$3 pause=$4 url=$5
set -- -svN --noproxy '*' -H 'Connection: close' --max-time "$timeout"
if curl --rate 1/s --version >/dev/null 2>&1; then
  [ "$an_hour" = 0 ] || set -- "$@" --rate "$an_hour/h"
  exec curl "$@" -w '%{stderr}\n@@ %{http_code} %{time_total} %{exitcode}\n' "$url#[1-$n]" 2>&1
fi
i=0
while [ "$i" -lt "$n" ]; do
  i=$((i + 1))
  [ "$pause" = 0 ] || sleep "$pause" &
  curl "$@" -w '\n@@ %{http_code} %{time_total} ' "$url" 2>&1
  echo "$?"
  wait
done
"""
"""One curl sends all requests at its `--rate`: the part of the URL after `#` only counts and is not sent. A curl from
before that option (7.84) is started for each request, while a pause runs beside it. Each request has a connection of
its own: the rules choose a Pod for each connection."""
_END = re.compile(r"@@ (\d{3}) ([\d.,]+) (\d+)$")
_KEPT_RATE = 0.9
_POD_NAME = re.compile(r"\b[a-z0-9][-a-z0-9]*-[bcdfghjklmnpqrstvwxz2456789]{5}\b")
_LAST_WORDS = re.compile(r"\* (?:Connection #\d+|[Cc]losing connection|[Ss]hutting down connection).*$", re.MULTILINE)
"""What curl adds right after an answer that has no line end."""
_LONGEST_BODY = 2000


class Failure(StrEnum):
    """Why a request got no answer."""

    REFUSED = "refused"
    RESET = "reset"
    TIMED_OUT = "timed out"
    NAME_UNKNOWN = "name not found"
    UNREACHABLE = "unreachable"
    OTHER = "other"


@dataclass(frozen=True)
class Request:
    """One request: when it began, how long it took, and who answered what, or why nobody did."""

    number: int
    at: float
    """Seconds since the epoch, by the clock of this machine."""
    seconds: float
    status: int
    answered_by: str
    body: str
    failure: Failure | None = None

    @property
    def ok(self) -> bool:
        """True if an HTTP answer came, whatever its status."""
        return self.failure is None


@dataclass
class TrafficReport:
    """A series of requests: how many failed, when, and why."""

    source: str
    url: str
    requests: list[Request] = field(default_factory=list)
    rate: float | None = None
    """How many a second were asked for."""

    @property
    def failed(self) -> list[Request]:
        """The requests that got no answer."""
        return [request for request in self.requests if not request.ok]

    @property
    def answered_by(self) -> Counter[str]:
        """How many answers each Pod gave; `unknown` where the answer does not tell."""
        return Counter(request.answered_by or "unknown" for request in self.requests if request.ok)

    @property
    def duration(self) -> float:
        """Seconds from the first request's begin to the last one's end."""
        if not self.requests:
            return 0.0
        return self.requests[-1].at + self.requests[-1].seconds - self.requests[0].at

    @property
    def achieved_rate(self) -> float:
        """How many requests began in a second; 0 for less than two."""
        if len(self.requests) < 2:
            return 0.0
        return (len(self.requests) - 1) / max(self.since_start(self.requests[-1]), 0.001)

    def since_start(self, request: Request) -> float:
        """When a request began, in seconds after the first."""
        return request.at - self.requests[0].at

    @property
    def outages(self) -> list[list[Request]]:
        """Failed requests, those in a row together."""
        runs: list[list[Request]] = []
        for request in self.failed:
            if runs and runs[-1][-1].number == request.number - 1:
                runs[-1].append(request)
            else:
                runs.append([request])
        return runs

    @property
    def lines(self) -> list[str]:
        """The report, sentence by sentence."""
        if not self.requests:
            return [f"No request was sent from {self.source} to {self.url}."]
        failed = len(self.failed)
        lines = [
            f"{len(self.requests)} requests from {self.source} to {self.url} in {self.duration:.1f} s: "
            f"{len(self.requests) - failed} answered, {failed} failed."
        ]
        if self.rate and 0 < self.achieved_rate < _KEPT_RATE * self.rate:
            lines.append(
                f"{self.achieved_rate:.0f} a second instead of the {self.rate:g} asked for: "
                "each request waits for the end of the one before."
            )
        for run in self.outages:
            begin, end = self.since_start(run[0]), self.since_start(run[-1]) + run[-1].seconds
            kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(r.failure for r in run if r.failure).items())
            lines.append(f"Failed from {begin:.2f} s to {end:.2f} s after the start: {kinds}.")
        statuses = Counter(request.status for request in self.requests if request.ok and request.status >= 400)
        lines += [f"HTTP {status}: {count} answers." for status, count in sorted(statuses.items())]
        if set(self.answered_by) - {"unknown"}:
            shares = ", ".join(f"{who} {count}" for who, count in sorted(self.answered_by.items()))
            lines.append(f"Answered by: {shares}.")
        if times := [request.seconds * 1000 for request in self.requests if request.ok]:
            lines.append(f"Time to the answer: {median(times):.1f} ms in the middle, {max(times):.1f} ms at most.")
        return lines

    def __str__(self) -> str:
        return "\n".join(self.lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        marks = [(self.since_start(request), request.ok) for request in self.requests]
        return document(self.lines, bars(marks, self.duration) if marks else "")


class Traffic:
    """Requests on their way: iterate to see each as it ends, `wait` for the report, `stop` to end early."""

    def __init__(
        self,
        command: RunningCommand,
        report: TrafficReport,
        on_request: Callable[[Request], None] | None = None,
    ) -> None:
        self.report = report
        self._command = command
        self._on_request = on_request
        self._changed = threading.Condition()
        self._done = False
        self._unexplained: list[str] = []
        self._thread = threading.Thread(target=self._read, name="traffic", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Request]:
        seen = 0
        while (request := self._next(seen)) is not None:
            seen += 1
            yield request

    @property
    def running(self) -> bool:
        """True until the last request ended."""
        return not self._done

    def wait(self, timeout: float | None = None) -> TrafficReport:
        """Waits for the end and returns the report. Raises NodeShellError if nothing could be sent."""
        self._thread.join(timeout)
        if self._done and not self.report.requests and self._unexplained:
            raise NodeShellError(f"No request could be sent from {self.report.source}: {self._unexplained[-1]}")
        return self.report

    def stop(self) -> TrafficReport:
        """Ends now and returns the report on what was sent."""
        self._command.kill()
        self._thread.join()
        return self.report

    def _next(self, seen: int) -> Request | None:
        """Waits for the request after so many, or None at the end."""
        requests = self.report.requests
        with self._changed:
            self._changed.wait_for(lambda: self._done or len(requests) > seen)
            return requests[seen] if len(requests) > seen else None

    def _read(self) -> None:
        lines: list[str] = []
        for line in self._command.stdout or ():
            end = _END.match(line.rstrip())
            if end is None:
                lines.append(line)
                continue
            request = _request(len(self.report.requests) + 1, time.time(), end, lines)
            lines = []
            with self._changed:
                self.report.requests.append(request)
                self._changed.notify_all()
            if self._on_request:
                self._on_request(request)
        self._command.wait()
        with self._changed:
            self._unexplained = [line.strip() for line in lines if line.strip()]
            self._done = True
            self._changed.notify_all()


def send(
    cluster: Cluster,
    to: str,
    *,
    source: str = "node",
    n: int = 200,
    rate: float | None = None,
    timeout: float = 2.0,
    namespace: str = "default",
    on_request: Callable[[Request], None] | None = None,
) -> TrafficReport:
    """Sends `n` requests to a URL or a Service from `node`, `node/NAME`, `pod/NAME` or `outside`, and reports.

    `rate` is how many to send a second (the report tells if that was out of reach), `timeout` how long to wait for
    each answer.
    Raises InvalidInput for a Service that does not exist, NodeShellError if nothing could be sent from there.
    """
    traffic = start(
        cluster, to, source=source, n=n, rate=rate, timeout=timeout, namespace=namespace, on_request=on_request
    )
    try:
        return traffic.wait()
    except KeyboardInterrupt:
        traffic.stop()
        raise


def start(
    cluster: Cluster,
    to: str,
    *,
    source: str = "node",
    n: int = 200,
    rate: float | None = None,
    timeout: float = 2.0,
    namespace: str = "default",
    on_request: Callable[[Request], None] | None = None,
) -> Traffic:
    """Like `send`, but returns at once: the requests go on in the background."""
    url = url_of(cluster, to, namespace)
    an_hour, pause = (str(round(rate * 3600)), f"{1 / rate:.3f}") if rate else ("0", "0")
    argv = ["sh", "-c", _CLIENT, "sh", str(n), str(timeout), an_hour, pause, _plain(url)]
    return Traffic(_launch(cluster, argv, source, namespace), TrafficReport(source, url, rate=rate), on_request)


def url_of(cluster: Cluster, to: str, namespace: str) -> str:
    """The URL of a Service's virtual IP and first port; a URL stays as it is. Raises InvalidInput."""
    if "://" in to:
        return to
    if re.fullmatch(r"[\d.]+(:\d+)?(/.*)?", to):
        return f"http://{to}"
    service = Reader(cluster, namespace).get("services", to.removeprefix("svc/").removeprefix("service/"))
    if service is None:
        raise InvalidInput(
            f"There is no Service {to!r} in the namespace {namespace}.", hint="List them with: kubectl get svc"
        )
    address = service["spec"].get("clusterIP")
    if address in (None, "", "None"):
        raise InvalidInput(f"The Service {to!r} has no virtual IP.", hint="Give a URL with its DNS name, from a Pod.")
    port = service["spec"]["ports"][0]["port"]
    return f"http://{address}/" if port == 80 else f"http://{address}:{port}/"


def _plain(url: str) -> str:
    """The URL for curl's command line, where brackets and braces would mean a series, and `#` begins the count."""
    return re.sub(r"([][{}])", r"\\\1", url.partition("#")[0])


def _launch(cluster: Cluster, argv: list[str], source: str, namespace: str) -> RunningCommand:
    place, _, name = source.partition("/")
    if place == "pod" and name:
        return launch_kubectl("-n", namespace, "exec", name, "--", *argv, environment=cluster.environment)
    if place == "node" or source == "outside":
        return cluster.launch(argv, place=place, node=name or None)
    raise InvalidInput(f"Requests can't be sent from {source!r}.", hint="Use node, node/NAME, pod/NAME or outside.")


def _request(number: int, ended: float, end: re.Match[str], lines: list[str]) -> Request:
    status, took, code = end.groups()
    said = "".join(line for line in lines if not line.startswith(("* ", "> ", "< ", "{ ", "} ", "\r")))
    body = _LAST_WORDS.sub("", said).strip()
    seconds, exit_code = float(took.replace(",", ".")), int(code)
    known = _POD_NAME.search(body)
    return Request(
        number=number,
        at=ended - seconds,
        seconds=seconds,
        status=int(status),
        answered_by=known.group(0) if known else "",
        body=body[:_LONGEST_BODY],
        failure=None if exit_code == 0 else classify(exit_code, "".join(lines)),
    )


def classify(exit_code: int, said: str) -> Failure:
    """What curl's exit code means; for 7 its words tell a refusal from a missing way."""
    if exit_code == 6:
        return Failure.NAME_UNKNOWN
    if exit_code == 28:
        return Failure.TIMED_OUT
    if exit_code in (52, 55, 56):
        return Failure.RESET
    if exit_code == 7:
        lost = re.search(r"no route to host|unreachable", said, re.IGNORECASE)
        return Failure.UNREACHABLE if lost else Failure.REFUSED
    return Failure.OTHER
