"""One test app, written three times: ASGI with Starlette, WSGI, aiohttp. They answer alike.

    /show           the request as JSON          /cookies    two Set-Cookie lines
    /echo           the body, sent back          /status/N   that status, with no body for 204 and 304
    /bytes/N        N bytes with a length        /stream/N   N chunks of 1000 bytes without a length
    /events         server-sent events: a second one only after /release was asked for
    /ws             echoes a WebSocket; the text "close N" closes it with code N (not WSGI)

`python -m tests.support.apps FD` serves the aiohttp one on an inherited listening socket.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from http import HTTPStatus
from typing import Any, TypeAlias

from aiohttp import WSMsgType, web
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

COOKIES = ("a=1; Path=/", "b=2, with comma; HttpOnly")
CHUNK = b"x" * 1000
FIRST_EVENT = b"data: first\n\n"
SECOND_EVENT = b"data: second\n\n"
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
BODILESS = (204, 304)

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[[str, list[tuple[str, str]]], Any]


# --- ASGI --------------------------------------------------------------------------------------------

_released: dict[str, asyncio.Event] = {}


def _gate(name: str) -> asyncio.Event:
    """Opened by /release, waited for by /events; the name keeps tests apart."""
    return _released.setdefault(name, asyncio.Event())


async def _events(name: str) -> AsyncIterator[bytes]:
    yield FIRST_EVENT
    await _gate(name).wait()
    yield SECOND_EVENT


async def _show(request: Request) -> Response:
    path = request.scope["raw_path"].decode() + ("?" + request.url.query if request.url.query else "")
    headers = [[name.decode(), value.decode()] for name, value in request.headers.raw]
    return JSONResponse({"method": request.method, "path": path, "headers": headers})


async def _echo(request: Request) -> Response:
    return Response(await request.body(), media_type="application/octet-stream")


async def _status(request: Request) -> Response:
    return Response(status_code=request.path_params["status"])


async def _bytes(request: Request) -> Response:
    return Response(b"x" * request.path_params["count"], media_type="application/octet-stream")


async def _stream(request: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(request.path_params["count"]):
            yield CHUNK

    return StreamingResponse(chunks(), media_type="application/octet-stream")


async def _cookies(_: Request) -> Response:
    response = Response("cookies")
    for cookie in COOKIES:
        response.headers.append("set-cookie", cookie)
    return response


async def _event_stream(request: Request) -> Response:
    return StreamingResponse(_events(request.url.query), media_type="text/event-stream")


async def _release(request: Request) -> Response:
    _gate(request.url.query).set()
    return Response("released")


async def _ws(websocket: WebSocket) -> None:
    offered = websocket.scope["subprotocols"]
    await websocket.accept(subprotocol=offered[0] if offered else None)
    try:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            if text is not None and text.startswith("close "):
                await websocket.close(int(text.removeprefix("close ")), "as asked")
                return
            await websocket.send({"type": "websocket.send", "text": text, "bytes": message.get("bytes")})
    except WebSocketDisconnect:
        return


asgi = Starlette(
    routes=[
        Route("/show", _show, methods=METHODS),
        Route("/echo", _echo, methods=["POST", "PUT"]),
        Route("/status/{status:int}", _status),
        Route("/bytes/{count:int}", _bytes),
        Route("/stream/{count:int}", _stream),
        Route("/cookies", _cookies),
        Route("/events", _event_stream),
        Route("/release", _release, methods=["POST"]),
        WebSocketRoute("/ws", _ws),
    ]
)


# --- WSGI --------------------------------------------------------------------------------------------

_wsgi_released: dict[str, threading.Event] = {}


def wsgi(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    status, headers, body = _wsgi_answer(environ)
    start_response(f"{status} {HTTPStatus(status).phrase}", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else body


Answer: TypeAlias = tuple[int, list[tuple[str, str]], Iterable[bytes]]


def _wsgi_answer(environ: Environ) -> Answer:
    _, name, *rest = environ["PATH_INFO"].split("/")
    argument = int(rest[0]) if rest else 0
    gate = _wsgi_released.setdefault(environ["QUERY_STRING"], threading.Event())
    match name:
        case "show":
            return _sized(_wsgi_shown(environ))
        case "echo":
            read = environ["wsgi.input"].read
            return 200, [], iter(lambda: read(65536), b"")
        case "status":
            return argument, [] if argument in BODILESS else [("Content-Length", "0")], []
        case "bytes":
            return _sized(b"x" * argument)
        case "stream":
            return 200, [], (CHUNK for _ in range(argument))
        case "cookies":
            return 200, [("Set-Cookie", cookie) for cookie in COOKIES], [b"cookies"]
        case "events":
            return 200, [("Content-Type", "text/event-stream")], _wsgi_events(gate)
        case "release":
            gate.set()
            return _sized(b"released")
    return 404, [("Content-Length", "0")], []


def _sized(body: bytes) -> Answer:
    return 200, [("Content-Length", str(len(body)))], [body]


def _wsgi_shown(environ: Environ) -> bytes:
    headers = [
        [key.removeprefix("HTTP_").replace("_", "-").lower(), value]
        for key, value in environ.items()
        if key.startswith("HTTP_")
    ]
    shown = {"method": environ["REQUEST_METHOD"], "path": environ["RAW_URI"], "headers": headers}
    return json.dumps(shown).encode()


def _wsgi_events(gate: threading.Event) -> Iterator[bytes]:
    yield FIRST_EVENT
    gate.wait()
    yield SECOND_EVENT


# --- aiohttp -----------------------------------------------------------------------------------------


async def _aio_show(request: web.Request) -> web.Response:
    headers = [[name.lower(), value] for name, value in request.headers.items()]
    return web.json_response({"method": request.method, "path": request.raw_path, "headers": headers})


async def _aio_echo(request: web.Request) -> web.StreamResponse:
    return await _aio_streamed(request, request.content.iter_any())


async def _aio_streamed(
    request: web.Request, parts: AsyncIterator[bytes], kind: str = "application/octet-stream"
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": kind})
    await response.prepare(request)
    async for part in parts:
        await response.write(part)
    return response


async def _aio_status(request: web.Request) -> web.Response:
    return web.Response(status=int(request.match_info["status"]))


async def _aio_bytes(request: web.Request) -> web.Response:
    return web.Response(body=b"x" * int(request.match_info["count"]))


async def _aio_stream(request: web.Request) -> web.StreamResponse:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(int(request.match_info["count"])):
            yield CHUNK

    return await _aio_streamed(request, chunks())


async def _aio_cookies(_: web.Request) -> web.Response:
    response = web.Response(text="cookies")
    for cookie in COOKIES:
        response.headers.add("Set-Cookie", cookie)
    return response


async def _aio_events(request: web.Request) -> web.StreamResponse:
    return await _aio_streamed(request, _events(request.query_string), "text/event-stream")


async def _aio_release(request: web.Request) -> web.Response:
    _gate(request.query_string).set()
    return web.Response(text="released")


async def _aio_ws(request: web.Request) -> web.WebSocketResponse:
    offered = request.headers.get("Sec-WebSocket-Protocol", "")
    websocket = web.WebSocketResponse(protocols=[name.strip() for name in offered.split(",")][:1])
    await websocket.prepare(request)
    async for message in websocket:
        if message.type is WSMsgType.BINARY:
            await websocket.send_bytes(message.data)
        elif message.type is WSMsgType.TEXT and message.data.startswith("close "):
            await websocket.close(code=int(message.data.removeprefix("close ")), message=b"as asked")
        elif message.type is WSMsgType.TEXT:
            await websocket.send_str(message.data)
    return websocket


def aiohttp_app() -> web.Application:
    app = web.Application(client_max_size=1 << 30)
    app.add_routes(
        [
            web.route("*", "/show", _aio_show),
            web.route("*", "/echo", _aio_echo),
            web.get("/status/{status}", _aio_status),
            web.get("/bytes/{count}", _aio_bytes),
            web.get("/stream/{count}", _aio_stream),
            web.get("/cookies", _aio_cookies),
            web.get("/events", _aio_events),
            web.post("/release", _aio_release),
            web.get("/ws", _aio_ws),
        ]
    )
    return app


if __name__ == "__main__":
    web.run_app(aiohttp_app(), sock=socket.socket(fileno=int(sys.argv[1])), access_log=None, print=None)
