"""The program of the image `httpd`: a web server that looks like Apache to a client and in its log, and says it is not.

It serves /usr/local/apache2/htdocs on port 80. Configuration files and modules are left out.
"""

from __future__ import annotations

import shlex
import signal
import time
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

from .http_service import HttpService, own_address, write_line
from .static_files import StaticFiles, log_time

SERVER = "Apache/2.4 (ServiceLab; simulated)"
DOCUMENT_ROOT = Path("/usr/local/apache2/htdocs")
PORT = 80

_EXPLANATIONS = {
    HTTPStatus.MOVED_PERMANENTLY: "The document has moved.",
    HTTPStatus.BAD_REQUEST: "Your browser sent a request that this server could not understand.<br />",
    HTTPStatus.FORBIDDEN: "You don't have permission to access this resource.",
    HTTPStatus.NOT_FOUND: "The requested URL was not found on this server.",
    HTTPStatus.METHOD_NOT_ALLOWED: "The requested method is not allowed for this URL.",
}


class Httpd(StaticFiles):
    """One connection to the server."""

    document_root = DOCUMENT_ROOT
    listings = True

    def version_string(self) -> str:
        """The Server header."""
        return SERVER

    def error_page(self, status: HTTPStatus) -> str:
        """The page for an error, in Apache's form."""
        return (
            '<!DOCTYPE HTML PUBLIC "-//IETF//DTD HTML 2.0//EN">\n<html><head>\n'
            f"<title>{status.value} {status.phrase}</title>\n</head><body>\n<h1>{status.phrase}</h1>\n"
            f"<p>{_EXPLANATIONS.get(status, status.description)}</p>\n</body></html>\n"
        )

    def log_answer(self, status: int, size: int) -> None:
        """The access log in the common log format, on standard output as the image has it."""
        shown = str(size) if size and status != HTTPStatus.NOT_MODIFIED and self.command != "HEAD" else "-"
        write_line(f'{self.client_address[0]} - - [{log_time(time.time())}] "{self.requestline}" {status} {shown}')


def main(argv: Sequence[str]) -> int:
    """Serves until a signal ends it. Models httpd-foreground of the image."""
    address = own_address()
    for _ in range(2):  # Apache reads its configuration twice, and says so twice
        write_line(
            "AH00558: httpd: Could not reliably determine the server's fully qualified domain name, "
            f"using {address}. Set the 'ServerName' directive globally to suppress this message",
            error=True,
        )
    try:
        service = HttpService(Httpd, PORT)
    except OSError as error:
        write_line(f"({error.errno}){error.strerror}: AH00072: make_sock: could not bind to address 0.0.0.0:{PORT}",
                   error=True)  # fmt: skip
        write_line("no listening sockets available, shutting down\nAH00015: Unable to open logs", error=True)
        return 1
    _notice("mpm_event", f"AH00489: {SERVER} configured -- resuming normal operations")
    _notice("core", f"AH00094: Command line: '{shlex.join(['httpd', '-D', 'FOREGROUND', *argv[1:]])}'")
    return service.run(_say_goodbye)


def _say_goodbye(number: int) -> None:
    if number == signal.SIGWINCH:
        _notice("mpm_event", "AH00492: caught SIGWINCH, shutting down gracefully")
    else:
        _notice("mpm_event", "AH00491: caught SIGTERM, shutting down")


def _notice(module: str, text: str) -> None:
    now = time.time()
    stamp = time.strftime("%a %b %d %H:%M:%S", time.gmtime(now))
    micro = int(now % 1 * 1_000_000)
    write_line(
        f"[{stamp}.{micro:06d} {time.gmtime(now).tm_year}] [{module}:notice] [pid 1:tid 1] {text}",
        error=True,
    )


if __name__ == "__main__":
    import sys

    sys.exit(main(sys.argv))
