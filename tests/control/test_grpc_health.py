"""gRPC health checks against a real gRPC server, and against what is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from proxy import scoreboard
from proxy.control.grpc_health import MOST, check, request_of
from proxy.control.health_checks import HealthChecks
from proxy.scoreboard import DOWN, HEALTH, UP
from proxy.upstream.backend import BackendSpec
from proxy.upstream.health import HealthSpec
from proxy.upstream.spec import GroupSpec
from tests.support import PATIENCE
from tests.support.origin import Origin, Script, close, until
from tests.support.path import until_true

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@asynccontextmanager
async def server(folder: Path, **statuses: int) -> AsyncIterator[tuple[str, health.aio.HealthServicer]]:
    """A gRPC server on a Unix socket, with these services."""
    path = str(folder / "grpc.sock")
    servicer = health.aio.HealthServicer()
    for name, status in statuses.items():
        await servicer.set(name, status)
    grpc_server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, grpc_server)
    grpc_server.add_insecure_port(f"unix:{path}")
    await grpc_server.start()
    try:
        yield path, servicer
    finally:
        await grpc_server.stop(None)


async def asked(path: str, service: str = "") -> str:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        async with asyncio.timeout(PATIENCE):
            return await check(reader, writer, "localhost", service)
    finally:
        await closed(writer)


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_a_service_that_serves_is_well_and_every_other_answer_is_told(tmp_path: Path) -> None:
    async with server(tmp_path, good=SERVING, bad=NOT_SERVING) as (path, _):
        assert await asked(path) == ""
        assert await asked(path, "good") == ""
        assert await asked(path, "bad") == "NOT_SERVING"
        assert (await asked(path, "none")).startswith("gRPC status NOT_FOUND")


def test_a_request_is_what_the_generated_code_writes() -> None:
    for service in ("", "shop.v1.Cart", "x" * 127):
        message = health_pb2.HealthCheckRequest(service=service).SerializeToString()
        assert request_of(service) == b"\x00" + len(message).to_bytes(4) + message


SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
RST = b"\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x07"
GOAWAY = b"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02"
PLAIN = b"\x00\x00\x01\x01\x05\x00\x00\x00\x01\x88"  # headers: ":status: 200", and the end of the stream
MISSING = b"\x00\x00\x01\x01\x05\x00\x00\x00\x01\x8d"  # ":status: 404"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ([until(b"PRI"), close], "closed the connection before"),
        ([until(b"PRI"), b"HTTP/1.1 400 Bad Request\r\n\r\n"], "does not speak HTTP/2"),
        ([until(b"PRI"), SETTINGS + RST], "was reset"),
        ([until(b"PRI"), SETTINGS + GOAWAY], "closed the connection (HTTP/2"),
        ([until(b"PRI"), SETTINGS + PLAIN], "content-type 'missing'"),
        ([until(b"PRI"), SETTINGS + MISSING], "status 404"),
        ([until(b"PRI"), SETTINGS * (MOST // len(SETTINGS) + 2)], "more than 65536 bytes"),
    ],
    ids=["closes", "HTTP/1.1", "RST_STREAM", "GOAWAY", "no gRPC", "404", "endless"],
)
async def test_what_is_no_grpc_server_is_told(script: Script, words: str) -> None:
    async with Origin(script) as origin:
        host, _, port = origin.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            async with asyncio.timeout(PATIENCE):
                assert words in await check(reader, writer, origin.address, "x")
        finally:
            await closed(writer)


async def test_a_check_takes_a_backend_out_and_back(tmp_path: Path) -> None:
    async with server(tmp_path, cart=SERVING) as (path, servicer):
        board = scoreboard.create(2)
        checks = HealthChecks(board)
        spec = HealthSpec("grpc", interval=0.05, fast_interval=0.02, fall=2, rise=2, timeout=5.0, service="cart")
        backend = BackendSpec(f"unix:{path}", "", 0, path)
        rows = board.backend_rows("app", backend.address)
        await checks.adopt({"app": GroupSpec("app", (backend,), None, health=spec)})
        try:
            await until_true(lambda: rows[HEALTH] == UP)
            await servicer.set("cart", NOT_SERVING)
            await until_true(lambda: rows[HEALTH] == DOWN)
            assert checks.targets["app", backend.address].records[-1].wrong == "NOT_SERVING"
            await servicer.set("cart", SERVING)
            await until_true(lambda: rows[HEALTH] == UP)
        finally:
            await checks.close()
