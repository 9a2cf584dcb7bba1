"""proxy/http1/codec.pyx: what one head, and one chunk, costs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from proxy.http1.codec import ChunkedDecoder, RequestHead, ResponseHead, canonicalize

from .harness import Case

if TYPE_CHECKING:
    from collections.abc import Callable

# What a browser sends: eleven header lines.
REQUEST = (
    b"GET /api/v1/items?page=2 HTTP/1.1\r\n"
    b"Host: www.example.com\r\n"
    b"Connection: keep-alive\r\n"
    b"Cache-Control: max-age=0\r\n"
    b"Upgrade-Insecure-Requests: 1\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    b"Sec-Fetch-Mode: navigate\r\n"
    b"Accept-Encoding: gzip, deflate, br\r\n"
    b"Accept-Language: en-US,en;q=0.9\r\n"
    b"Referer: https://www.example.com/start\r\n"
    b"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n"
    b"\r\n"
)
RESPONSE = (
    b"HTTP/1.1 200 OK\r\n"
    b"Server: app\r\n"
    b"Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
    b"Content-Type: application/json\r\n"
    b"Content-Length: 134\r\n"
    b"Connection: keep-alive\r\n"
    b"\r\n" + b"x" * 134
)
BLOCK = b"Via: 1.1 qantara\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\n"
CHUNKS = 16
CHUNK = b"1000\r\n" + b"x" * 4096 + b"\r\n"
TOLD_CHUNK = b"1000;a=b\r\n" + b"x" * 4096 + b"\r\n"


def cases() -> list[Case]:
    return [
        Case("request head, 11 headers: parse, check and forward", request_forward, mark=1200),
        Case("request head, 11 headers: parse and check", request_parse),
        Case("response head and body, 134 bytes: parse and forward", response_forward),
        Case("chunk of 4 KiB, passed on", partial(chunks, CHUNK), calls=CHUNKS),
        Case("chunk of 4 KiB with an extension, copied", partial(chunks, TOLD_CHUNK), calls=CHUNKS),
        Case("path that is not canonical", path),
    ]


def request_forward() -> Callable[[], object]:
    head = RequestHead()

    def call() -> bytes:
        head.parse(REQUEST, 0)
        return head.forward(None, BLOCK, 0, True, False, None)

    return call


def request_parse() -> Callable[[], object]:
    head = RequestHead()
    return lambda: head.parse(REQUEST, 0)


def response_forward() -> Callable[[], object]:
    head = ResponseHead()

    def call() -> bytes:
        head.parse(RESPONSE, 0)
        return head.forward(BLOCK, 0, None, len(RESPONSE))

    return call


def path() -> Callable[[], object]:
    return lambda: canonicalize(b"/a//b/%7euser/../c/./d%2Fe")


def chunks(chunk: bytes) -> Callable[[], object]:
    data = chunk * CHUNKS
    return lambda: ChunkedDecoder().feed(data, 0)
