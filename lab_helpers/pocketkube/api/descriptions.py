"""OpenAPI documents with descriptions, for `kubectl explain`.

The descriptions are those of the official client's models. That client takes most of a second and 45 MB to load, so a
process of its own does it, when asked: `python -m lab_helpers.pocketkube.api.descriptions apps/v1`.
"""

from __future__ import annotations

import asyncio
import json
import sys

from .. import schema
from ..custom.catalogue import Served
from .discovery import Document
from .negotiate import encode
from .openapi import build, document, group_version_of
from .status import StatusError
from .swagger import protobuf, protobuf_document
from .swagger_protobuf import MEDIA_TYPE

_SWAGGER = "v2"


async def described_document(path: str, served: Served) -> Document | None:
    """`/openapi/v3/<path>` with descriptions; None if nothing is there."""
    found = document(path, served)
    if found is None or document(path) is not None:
        return found and Document(await _described(path))
    # A custom kind's descriptions are those that its definition gives; the metadata are everybody's.
    own, core = json.loads(found.body), json.loads(await _described("api/v1"))
    described = core["components"]["schemas"]
    schemas = own["components"]["schemas"]
    schemas |= {name: described[name] for name in schemas if name in described}
    return Document(encode(own))


async def described_swagger(served: Served) -> Document:
    """`/openapi/v2` as protobuf, with descriptions."""
    if served.custom:
        return protobuf_document(served)
    return Document(await _described(_SWAGGER), MEDIA_TYPE)


async def _described(path: str) -> bytes:
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
    return output


def main(path: str) -> None:
    """Writes a document with descriptions to standard output."""
    if path == _SWAGGER:
        described = protobuf(schema.describe)
    else:
        described = encode(build(*group_version_of(path), schema.describe))
    sys.stdout.buffer.write(described)


if __name__ == "__main__":
    main(sys.argv[1])
