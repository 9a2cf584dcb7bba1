"""What endpoints have in common: a body that is read as a model, an answer in JSON.

Law of this file: what is wrong with a body is said as for the configuration, key by key.
"""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web
from pydantic import ValidationError

from ..problems import dotted, model_findings
from .guard import refused


async def parsed(request: web.Request, model: type[Any]) -> Any:
    """The body of a request as a model, or the response that refuses it."""
    try:
        return model.model_validate(orjson.loads(await request.read()))
    except orjson.JSONDecodeError as error:
        return refused(400, f"the body is no JSON: {error}")
    except ValidationError as error:
        found = [f"{dotted(finding.path)}: {finding.message}" for finding in model_findings(error)]
        return refused(400, "; ".join(found))


def answer(body: Any, status: int = 200) -> web.Response:
    """A JSON response."""
    return web.Response(body=orjson.dumps(body) + b"\n", status=status, content_type="application/json")
