"""`wget` for Pods on a machine that has none: the options of busybox' wget that lessons and tests use.

wget [-q] [-S] [--spider] [-O FILE] [-T SECONDS] [--header LINE] [--post-data TEXT] URL
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import shutil
import socket
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

_SECONDS = 900.0  # as busybox


def main(argv: Sequence[str] | None = None) -> int:
    """0 if the server gave the document, else 1."""
    options = _parser().parse_args(argv)
    url = options.url if "://" in options.url else f"http://{options.url}"
    body = options.post_data.encode() if options.post_data is not None else None
    headers = dict(line.split(":", 1) for line in options.header if ":" in line)
    request = urllib.request.Request(url, body, {"User-Agent": "Wget", **headers})
    parts = urllib.parse.urlsplit(url)
    if not options.quiet:
        _say(f"Connecting to {parts.netloc}")
    try:
        with urllib.request.urlopen(request, timeout=options.timeout) as answer:
            if options.server_response:
                _print_headers(answer)
            if not options.spider:
                _save(answer, options.output or Path(parts.path).name or "index.html", options.quiet)
    except urllib.error.HTTPError as error:
        return _say(f"wget: server returned error: HTTP/1.1 {error.code} {error.reason}")
    except urllib.error.URLError as error:
        return _say(f"wget: {_words(error.reason, parts)}")
    except (OSError, http.client.HTTPException) as error:
        return _say(f"wget: {_words(error, parts)}")
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="wget")
    parser.add_argument("-q", "--quiet", action="store_true")
    parser.add_argument("-S", "--server-response", action="store_true")
    parser.add_argument("--spider", action="store_true")
    parser.add_argument("-O", "--output-document", dest="output")
    parser.add_argument("-T", "--timeout", type=float, default=_SECONDS)
    parser.add_argument("-t", "--tries", type=int)
    parser.add_argument("--header", action="append", default=[])
    parser.add_argument("--post-data")
    parser.add_argument("--no-check-certificate", action="store_true")
    parser.add_argument("url")
    return parser


def _print_headers(answer: http.client.HTTPResponse) -> None:
    _say(f"  HTTP/1.1 {answer.status} {answer.reason}")
    for name, value in answer.headers.items():
        _say(f"  {name}: {value}")


def _save(answer: http.client.HTTPResponse, target: str, quiet: bool) -> None:
    with contextlib.ExitStack() as stack:
        file: BinaryIO = sys.stdout.buffer if target == "-" else stack.enter_context(Path(target).open("wb"))
        shutil.copyfileobj(answer, file)
        file.flush()
    if not quiet:
        _say("written to stdout" if target == "-" else f"'{target}' saved")


def _words(why: object, parts: urllib.parse.SplitResult) -> str:
    """busybox' sentence for a failure."""
    if isinstance(why, socket.gaierror):
        return f"bad address '{parts.netloc}'"
    if isinstance(why, TimeoutError):
        return "download timed out"
    if isinstance(why, ConnectionError):
        return f"can't connect to remote host ({parts.hostname}): {why.strerror}"
    return str(why)


def _say(sentence: str) -> int:
    print(sentence, file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
