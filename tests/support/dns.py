"""A DNS server for tests, on UDP and TCP of one free loopback port.

    async with dns_server() as dns:
        dns.set("app.internal", "A", "10.0.0.1", "10.0.0.2", ttl=30)

Invariant: it answers from its zone and nothing else, and every question that reaches it is in `asked`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

UDP_MAX = 512


class DnsServer(asyncio.DatagramProtocol):
    def __init__(self, port: int) -> None:
        self.port = port
        self.zone: dict[tuple[str, str], tuple[int, tuple[str, ...]]] = {}
        self.asked: list[str] = []
        """Each question as "A app.internal. udp"."""
        self.broken: dict[tuple[str, str], str] = {}
        """What goes wrong with a question: silent, garbage, stranger (a wrong id), or a response code."""
        self.transport: asyncio.DatagramTransport | None = None

    def set(self, name: str, kind: str, *values: str, ttl: int = 60) -> None:
        """These are the records of a name from now on; without values there are none of that kind."""
        self.zone[_absolute(name), kind] = (ttl, values)

    def gone(self, name: str) -> None:
        """The name does not exist any more."""
        self.zone = {key: records for key, records in self.zone.items() if key[0] != _absolute(name)}

    def fail(self, name: str, kind: str, how: str = "SERVFAIL") -> None:
        self.broken[_absolute(name), kind] = how

    def count(self, question: str) -> int:
        """How often that was asked, by whatever transport."""
        return sum(each.startswith(f"{question} ") for each in self.asked)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)  # uvloop's is no subclass

    def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
        answer = self.answer(data, "udp")
        assert self.transport is not None
        if answer is not None:
            self.transport.sendto(answer, peer)

    async def serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            size = int.from_bytes(await reader.readexactly(2), "big")
            answer = self.answer(await reader.readexactly(size), "tcp")
            if answer is not None:
                writer.write(len(answer).to_bytes(2, "big") + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def answer(self, data: bytes, transport: str) -> bytes | None:
        query = dns.message.from_wire(data)
        name, kind = query.question[0].name.to_text().lower(), dns.rdatatype.to_text(query.question[0].rdtype)
        self.asked.append(f"{kind} {name} {transport}")
        broken = self.broken.get((name, kind), "")
        if broken == "silent":
            return None
        if broken == "garbage":
            return b"\x00" * 7
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if broken == "stranger":
            response.id ^= 1
        if broken and broken != "stranger":
            response.set_rcode(dns.rcode.from_text(broken))
            return response.to_wire()
        self._fill(response, name, kind)
        wire = response.to_wire()
        if transport == "udp" and len(wire) > UDP_MAX:
            response.answer.clear()
            response.flags |= dns.flags.TC
            wire = response.to_wire()
        return wire

    def _fill(self, response: dns.message.Message, name: str, kind: str) -> None:
        while (alias := self.zone.get((name, "CNAME"))) is not None and len(response.answer) < 30:
            response.answer.append(dns.rrset.from_text(name, alias[0], "IN", "CNAME", *alias[1]))
            name = alias[1][0]
        ttl, values = self.zone.get((name, kind), (0, ()))
        if values:
            response.answer.append(dns.rrset.from_text(name, ttl, "IN", kind, *values))
        elif all(known != name for known, _ in self.zone):
            response.set_rcode(dns.rcode.NXDOMAIN)


def _absolute(name: str) -> str:
    return f"{name.lower().removesuffix('.')}."


@asynccontextmanager
async def dns_server() -> AsyncIterator[DnsServer]:
    loop = asyncio.get_running_loop()
    tcp, udp = _sockets()
    server = DnsServer(tcp.getsockname()[1])
    transport, _ = await loop.create_datagram_endpoint(lambda: server, sock=udp)
    listening = await asyncio.start_server(server.serve_tcp, sock=tcp)
    try:
        yield server
    finally:
        transport.close()
        listening.close()
        await listening.wait_closed()


def _sockets() -> tuple[socket.socket, socket.socket]:
    """A TCP and a UDP socket with the same port."""
    while True:
        tcp = socket.create_server(("127.0.0.1", 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind(tcp.getsockname())
        except OSError:  # somebody else has that port for UDP
            tcp.close()
            udp.close()
            continue
        udp.setblocking(False)
        return tcp, udp
