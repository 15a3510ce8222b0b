"""The program of the image `nginx`: a web server that looks like nginx to a client and in its log, and says it is not.

It serves /usr/share/nginx/html on port 80. Configuration files are left out.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

from .http_service import HttpService, write_line
from .static_files import StaticFiles, log_time

SERVER = "nginx (ServiceLab; simulated)"
DOCUMENT_ROOT = Path("/usr/share/nginx/html")
PORT = 80


class Nginx(StaticFiles):
    """One connection to the server."""

    document_root = DOCUMENT_ROOT

    def version_string(self) -> str:
        """The Server header."""
        return SERVER

    def error_page(self, status: HTTPStatus) -> str:
        """The page for an error, in nginx' form."""
        title = f"{status.value} {'Not Allowed' if status == HTTPStatus.METHOD_NOT_ALLOWED else status.phrase}"
        return (
            f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
            f"<hr><center>{SERVER}</center>\r\n</body>\r\n</html>\r\n"
        )

    def log_answer(self, status: int, size: int) -> None:
        """The access log in nginx' `main` format, on standard output as the image has it."""
        sent = 0 if self.command == "HEAD" or status == HTTPStatus.NOT_MODIFIED else size
        headers = getattr(self, "headers", None) or {}
        referer, agent, forwarded = (headers.get(name, "-") for name in ("Referer", "User-Agent", "X-Forwarded-For"))
        write_line(
            f'{self.client_address[0]} - - [{log_time(time.time())}] "{self.requestline}" {status} {sent} '
            f'"{referer}" "{agent}" "{forwarded}"'
        )


def main(argv: Sequence[str]) -> int:
    """Serves until a signal ends it."""
    write_line("/docker-entrypoint.sh: Configuration complete; ready for start up")
    try:
        service = HttpService(Nginx, PORT)
    except OSError as error:
        _log("emerg", f"bind() to 0.0.0.0:{PORT} failed ({error.errno}: {error.strerror})")
        return 1
    _log("notice", f"{SERVER}: start worker processes")
    return service.run(_say_goodbye)


def _say_goodbye(number: int) -> None:
    name = signal.Signals(number).name
    _log("notice", f"signal {number} ({name}) received, {'exiting' if number == signal.SIGTERM else 'shutting down'}")


def _log(level: str, text: str) -> None:
    write_line(f"{time.strftime('%Y/%m/%d %H:%M:%S', time.gmtime())} [{level}] 1#1: {text}", error=True)


if __name__ == "__main__":
    import sys

    sys.exit(main(sys.argv))
