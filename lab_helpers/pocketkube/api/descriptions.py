"""OpenAPI documents with descriptions, for `kubectl explain`.

The descriptions are those of the official client's models. That client takes most of a second and 45 MB to load, so a
process of its own does it, when asked: `python -m lab_helpers.pocketkube.api.descriptions apps/v1`.
"""

from __future__ import annotations

import asyncio
import sys

from .. import schema
from .discovery import Document
from .negotiate import encode
from .openapi import build, document, group_version_of
from .status import StatusError


async def described_document(path: str) -> Document | None:
    """`/openapi/v3/<path>` with descriptions; None if nothing is there."""
    if document(path) is None:
        return None
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        output, errors = await child.communicate()
    except asyncio.CancelledError:
        child.kill()
        raise
    if child.returncode:
        last = (errors.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
        raise StatusError.internal(f"the descriptions of {path} could not be read: {last}")
    return Document(output)


def main(path: str) -> None:
    """Writes a document with descriptions to standard output."""
    group, version = group_version_of(path)
    sys.stdout.buffer.write(encode(build(group, version, schema.describe)))


if __name__ == "__main__":
    main(sys.argv[1])
