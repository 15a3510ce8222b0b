"""What can be read below `/` beside resources: discovery, version and OpenAPI, with headers that make it cacheable."""

from __future__ import annotations

from aiohttp import web

from ..custom.catalogue import Served
from . import discovery, openapi
from .answers import respond
from .auth import ISSUER_PATHS
from .descriptions import described_document, described_swagger
from .discovery import Document
from .negotiate import encode
from .status import StatusError
from .swagger import protobuf_document, swagger_document
from .tokens import TokenAuthority


async def find_document(
    request: web.BaseRequest, parts: list[str], address: str, tokens: TokenAuthority, served: Served
) -> Document | None:
    """The document at a path; None if there is none. `address` is where the server is reached from inside."""
    accept = request.headers.get("Accept", "")
    match parts:
        case []:
            return Document(encode({"paths": discovery.paths(served)}))
        case ["api"]:
            return discovery.root_document(True, accept, address)
        case ["apis"]:
            return discovery.root_document(False, accept, address, served)
        case ["api", version]:
            return _known(discovery.resources_document("", version))
        case ["apis", group]:
            return discovery.group_document(group, served)
        case ["apis", group, version]:
            found = discovery.resources_document(group, version, served.part(group, version))
            return _known(found) if discovery.serves_group(group, served) else found
        case [".well-known", "openid-configuration"]:
            return Document(encode(tokens.configuration(address)))
        case ["openid", "v1", "jwks"]:
            return Document(encode(tokens.keys()), "application/jwk-set+json")
        case ["version"]:
            return discovery.version_document()
        case ["openapi", "v2"]:
            if not _wants_protobuf(accept):
                return swagger_document(served)
            return await described_swagger(served) if _is_explain(request) else protobuf_document(served)
        case ["openapi", "v3"]:
            return openapi.index(served, described=_is_explain(request))
        case ["openapi", "v3", *rest]:
            path = "/".join(rest)
            described = request.rel_url.query.get("described") == "true"
            return await described_document(path, served) if described else openapi.document(path, served)
    return None


def _known(document: Document | None) -> Document:
    """A document of a group that is served; a version that is not is said to be missing in a Status."""
    if document is None:
        raise StatusError.no_such_path()
    return document


def _wants_protobuf(accept: str) -> bool:
    """True for a client that could not read JSON."""
    return accept.startswith("application/com.github.proto-openapi") and "," not in accept


def serve_document(request: web.BaseRequest, document: Document) -> web.Response:
    """Answers with a document, or says that the client has it."""
    if request.headers.get("If-None-Match") == document.etag:
        return web.Response(status=304, headers={"ETag": document.etag})
    response = respond(request, document.body, document.content_type)
    response.headers["ETag"] = document.etag
    if request.path in ISSUER_PATHS:
        response.headers["Cache-Control"] = "public, max-age=3600"
    response.headers["Vary"] = "Accept"
    if request.rel_url.query.get("hash"):
        # The hash is in the URL: what is there never changes.
        response.headers["Cache-Control"] = "public, immutable"
        response.headers["Expires"] = "Thu, 31 Dec 2099 23:59:59 GMT"
    return response


def _is_explain(request: web.BaseRequest) -> bool:
    """kubectl says which of its commands is asking; `explain` alone needs descriptions."""
    return request.headers.get("Kubectl-Command", "").startswith("kubectl explain")
