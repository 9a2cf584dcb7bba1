"""The app servers of `qantara demo`: one small app, written for aiohttp, FastAPI (ASGI) and plain WSGI.

They answer alike, so that one set of commands tries them all: any path shows the request as JSON, `/slow`
waits, `/stream` sends server-sent events, `/echo` returns the body, `/ws` echoes a WebSocket (not WSGI).
Nothing here knows the proxy.
"""

# No `from __future__ import annotations` here: FastAPI reads the annotations of its handlers, which name
# classes that are imported inside a function.
import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson
from aiohttp import WSMsgType, web

if TYPE_CHECKING:
    from fastapi import FastAPI

NAME_VARIABLE = "QANTARA_DEMO_NAME"
"""Environment variable with the name that an ASGI or WSGI app answers with."""
NAME = web.AppKey("name", str)
EVENTS = 5
MAX_WAIT = 60.0
"""Longest wait of /slow, in seconds."""

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[[str, list[tuple[str, str]]], Any]


def shown(server: str, method: str, path: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """The JSON that every path without a meaning of its own answers with."""
    return orjson.dumps(
        {
            "server": server,
            "method": method,
            "path": path,
            "headers": {str(name): value for name, value in headers},
        },
        option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE,
    )


def event(server: str, number: int) -> bytes:
    return f"id: {number}\ndata: event {number} from {server}\n\n".encode()


async def events(server: str) -> AsyncIterator[bytes]:
    """One server-sent event a second: a proxy that buffers would deliver them all at the end."""
    for number in range(1, EVENTS + 1):
        yield event(server, number)
        await asyncio.sleep(1)


def waited(seconds: str) -> float:
    """Seconds to wait, from a query parameter; what is no number waits one second."""
    try:
        return min(max(float(seconds), 0.0), MAX_WAIT)
    except ValueError:
        return 1.0


# --- aiohttp -----------------------------------------------------------------------------------------


def aiohttp_app(name: str) -> web.Application:
    app = web.Application()
    app.add_routes(
        [
            web.get("/slow", _aiohttp_slow),
            web.get("/stream", _aiohttp_stream),
            web.post("/echo", _aiohttp_echo),
            web.get("/ws", _aiohttp_ws),
            web.route("*", "/{path:.*}", _aiohttp_show),
        ]
    )
    app[NAME] = name
    return app


def aiohttp_main(argv: list[str]) -> web.Application:
    """Entry point of `python -m aiohttp.web`, which would log every request; its one argument is the name."""
    logging.getLogger().setLevel(logging.WARNING)
    return aiohttp_app(argv[0])


async def _aiohttp_show(request: web.Request) -> web.Response:
    body = shown(request.app[NAME], request.method, request.raw_path, request.headers.items())
    return web.Response(body=body, content_type="application/json")


async def _aiohttp_slow(request: web.Request) -> web.Response:
    await asyncio.sleep(waited(request.query.get("seconds", "1")))
    return await _aiohttp_show(request)


async def _aiohttp_stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    try:
        async for part in events(request.app[NAME]):
            await response.write(part)
    except ConnectionResetError:
        pass  # the client has seen enough
    return response


async def _aiohttp_echo(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": request.content_type})
    await response.prepare(request)
    async for part in request.content.iter_any():
        await response.write(part)
    return response


async def _aiohttp_ws(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


# --- ASGI --------------------------------------------------------------------------------------------


def asgi_app() -> "FastAPI":
    """Factory for `uvicorn --factory`."""
    from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect
    from fastapi.responses import StreamingResponse

    name = os.environ.get(NAME_VARIABLE, "fastapi")
    app = FastAPI(title=name)

    @app.get("/slow")
    async def slow(request: Request, seconds: str = "1") -> Response:
        await asyncio.sleep(waited(seconds))
        return await show(request)

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(events(name), media_type="text/event-stream")

    @app.post("/echo")
    async def echo(request: Request) -> Response:
        return Response(await request.body(), media_type=request.headers.get("content-type"))

    @app.websocket("/ws")
    async def ws(socket: WebSocket) -> None:
        await socket.accept()
        try:
            while True:
                await socket.send_text(await socket.receive_text())
        except WebSocketDisconnect:
            return

    @app.api_route("/{path:path}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    async def show(request: Request) -> Response:
        path = request.scope["raw_path"].decode("latin-1") + "?" * bool(request.url.query) + request.url.query
        body = shown(name, request.method, path, request.headers.items())
        return Response(body, media_type="application/json")

    return app


# --- WSGI --------------------------------------------------------------------------------------------


def wsgi_app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    name = os.environ.get(NAME_VARIABLE, "wsgi")
    path = environ["PATH_INFO"]
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return _wsgi_events(name)
    if path == "/echo":
        kind = environ.get("CONTENT_TYPE") or "application/octet-stream"
        start_response("200 OK", [("Content-Type", kind)])
        return iter(lambda: environ["wsgi.input"].read(65536), b"")
    if path == "/slow":
        time.sleep(waited(environ.get("QUERY_STRING", "").removeprefix("seconds=")))
    sent = (key for key in environ if key.startswith("HTTP_"))
    headers = ((key[5:].replace("_", "-").title(), environ[key]) for key in sent)
    body = shown(name, environ["REQUEST_METHOD"], environ["RAW_URI"], headers)
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def _wsgi_events(name: str) -> Iterator[bytes]:
    for number in range(1, EVENTS + 1):
        yield event(name, number)
        time.sleep(1)
