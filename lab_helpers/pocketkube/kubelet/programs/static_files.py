"""Serving a folder of files over HTTP the way web servers do: index pages, listings, conditional requests, errors.

Which server it claims to be, its pages and its log format are left to the programs that subclass the handler
(`httpd.py`, `nginx.py`).
"""

from __future__ import annotations

import html
import mimetypes
import os
import time
import urllib.parse
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path

from .http_service import RequestHandler

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class StaticFiles(RequestHandler):
    """GET and HEAD for the files under `document_root`; every other method is not allowed."""

    document_root = Path("/")
    listings = False
    """Whether a folder without an index page shows what is in it."""

    def do_GET(self) -> None:
        """Answers with the file that the path names."""
        path = self._decoded_path()
        if path is None:
            self.fail(HTTPStatus.BAD_REQUEST)
            return
        file = self.document_root / path.lstrip("/")
        try:
            if file.is_dir():
                self._answer_folder(path, file)
            elif path.endswith("/"):
                self.fail(HTTPStatus.NOT_FOUND)
            else:
                self._answer_file(file)
        except PermissionError:
            self.fail(HTTPStatus.FORBIDDEN)
        except (OSError, ValueError):
            self.fail(HTTPStatus.NOT_FOUND)

    do_HEAD = do_GET

    def _refuse(self) -> None:
        # What the client sends as body is not read, so the connection can't be used for another request.
        self.close_connection = True
        self.fail(HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "GET,HEAD"})

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = _refuse

    def fail(self, status: HTTPStatus, headers: dict[str, str] | None = None) -> None:
        """Answers with the server's own page for an error."""
        self.answer(status, self.error_page(status).encode(), "text/html", headers)

    def error_page(self, status: HTTPStatus) -> str:
        """The page for an error."""
        return f"<h1>{status.phrase}</h1>\n"

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answers a request that could not be read at all."""
        self.close_connection = True
        if not hasattr(self, "requestline"):
            self.requestline = "-"
        # The base class refuses methods that it finds no `do_` for; web servers do not tell those apart from POST.
        status = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else HTTPStatus(code)
        self.fail(status)

    def _decoded_path(self) -> str | None:
        """The path without query and escapes, or None if it would climb out of the document root."""
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        return None if ".." in path.split("/") or "\0" in path else path

    def _answer_folder(self, path: str, folder: Path) -> None:
        if not path.endswith("/"):
            location = urllib.parse.quote(path) + "/"
            self.fail(HTTPStatus.MOVED_PERMANENTLY, {"Location": f"http://{self.headers.get('Host', '')}{location}"})
            return
        index = folder / "index.html"
        if index.is_file():
            self._answer_file(index)
        elif self.listings:
            self.answer(HTTPStatus.OK, _listing(path, folder).encode(), "text/html;charset=ISO-8859-1")
        else:
            self.fail(HTTPStatus.FORBIDDEN)

    def _answer_file(self, file: Path) -> None:
        with file.open("rb") as stream:
            facts = os.fstat(stream.fileno())
            body = stream.read()
        validators = {
            "Last-Modified": formatdate(facts.st_mtime, usegmt=True),
            "ETag": f'"{facts.st_size:x}-{int(facts.st_mtime * 1_000_000):x}"',
        }
        status = HTTPStatus.NOT_MODIFIED if self._is_unchanged(validators, facts.st_mtime) else HTTPStatus.OK
        self.answer(status, body, mimetypes.guess_type(file.name)[0] or "text/plain", validators)

    def _is_unchanged(self, validators: dict[str, str], modified: float) -> bool:
        if tags := self.headers.get("If-None-Match"):
            return validators["ETag"] in tags or tags.strip() == "*"
        if since := self.headers.get("If-Modified-Since"):
            try:
                return int(modified) <= parsedate_to_datetime(since).timestamp()
            except ValueError:
                return False
        return False


def log_time(seconds: float) -> str:
    """`22/Nov/2026:07:35:52 +0000`, the time format of access logs."""
    now = time.gmtime(seconds)
    return f"{now.tm_mday:02d}/{_MONTHS[now.tm_mon - 1]}/{now.tm_year}:{time.strftime('%H:%M:%S', now)} +0000"


def _listing(path: str, folder: Path) -> str:
    title = f"Index of {html.escape(path.rstrip('/') or '/')}"
    rows = [] if path == "/" else ['<li><a href="../"> Parent Directory</a></li>']
    for entry in sorted(folder.iterdir()):
        name = entry.name + ("/" if entry.is_dir() else "")
        rows.append(f'<li><a href="{urllib.parse.quote(name)}"> {html.escape(name)}</a></li>')
    items = "\n".join(rows)
    return (
        f"<html>\n <head>\n  <title>{title}</title>\n </head>\n <body>\n"
        f"<h1>{title}</h1>\n<ul>{items}\n</ul>\n</body></html>\n"
    )
