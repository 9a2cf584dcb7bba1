"""The client of the admin API for commands: HTTP over the control socket of a running proxy.

Law of this file: one request, one response, within a time-out; an error is one sentence.
"""

from __future__ import annotations

import http.client
import socket
from pathlib import Path
from typing import Any

import orjson

from ..errors import ControlError, NobodyServes

ANSWER_WITHIN = 120.0


class UnixConnection(http.client.HTTPConnection):
    """HTTP to a Unix socket."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def ask(path: Path, method: str, target: str, body: Any = None, within: float = ANSWER_WITHIN) -> tuple[int, Any]:
    """Status and JSON of the answer. Raises NobodyServes without a proxy, and ControlError without an answer."""
    connection = UnixConnection(path, within)
    try:
        payload = orjson.dumps(body) if body is not None else None
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, target, payload, headers)
        response = connection.getresponse()
        return response.status, orjson.loads(response.read())
    except (FileNotFoundError, ConnectionRefusedError):
        raise NobodyServes(f"nobody serves this configuration (there is no {path})") from None
    except TimeoutError:
        raise ControlError(f"the proxy did not answer within {within:g} s") from None
    except (OSError, http.client.HTTPException, orjson.JSONDecodeError) as error:
        raise ControlError(f"the proxy did not answer: {error}") from None
    finally:
        connection.close()
