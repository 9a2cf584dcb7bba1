"""What endpoints have in common: a body that is read as a model, an answer in JSON.

Law of this file: what is wrong with a body is reported as for the configuration, key by key. Every refusal is a problem
of RFC 9457.
"""

from __future__ import annotations

import logging
from typing import Any

import orjson
from aiohttp import web
from pydantic import ValidationError

from ...configuration.findings import Finding, dotted
from ...configuration.rules import model_findings
from .guard import Handler, refused

log = logging.getLogger("qantara")


async def parsed(request: web.Request, model: type[Any]) -> Any:
    """The body of a request as a model, or the response that refuses it."""
    try:
        return model.model_validate(orjson.loads(await request.read()))
    except orjson.JSONDecodeError as error:
        return refused(400, f"the body is no JSON: {error}")
    except ValidationError as error:
        return refused(400, "; ".join(map(_said, model_findings(error, model))))


def _said(finding: Finding) -> str:
    return f"{dotted(finding.path)}: {finding.message}" if finding.path else f"the body {finding.message}"


@web.middleware
async def as_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What the router and the reading of a body refuse, and what goes wrong, in the form of all other refusals."""
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        found = refused(405, f"{request.path} takes {allowed}, not {error.method}")
        found.headers["Allow"] = allowed
        return found
    except web.HTTPNotFound:
        return refused(404, f"there is nothing at {request.path}; docs/admin.md has the list")
    except web.HTTPRequestEntityTooLarge:
        return refused(413, f"the body is larger than {request.client_max_size} bytes")
    except web.HTTPException as error:
        return refused(error.status, error.reason)
    except Exception:
        log.exception("a defect of the proxy, while answering %s %s", request.method, request.path)
        return refused(500, "a defect of the proxy; see its log")


def answer(body: Any, status: int = 200) -> web.Response:
    """A JSON response."""
    return web.Response(body=orjson.dumps(body) + b"\n", status=status, content_type="application/json")
