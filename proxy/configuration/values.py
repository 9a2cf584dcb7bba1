"""The notations of the configuration: durations, sizes, addresses, hosts, paths, headers and so on.

Invariant: each function takes a value of the file and returns a canonical one, or raises ValueError with a sentence
that names the error and a remedy. The functions are independent of keys, files and models.
"""

from __future__ import annotations

import ipaddress
import re
import warnings
from dataclasses import dataclass
from typing import Literal

_MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}

# Digits are bounded: the text comes from a file, and int() of a million digits is slow.
DURATION = r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(ms|s|m|h)"
SIZE = r"([0-9]{1,15})(B|KiB|MiB|GiB|TiB)"
PERCENT = r"([0-9]{1,3}(?:\.[0-9]{1,4})?)%"
_DURATION = re.compile(DURATION)
_SIZE = re.compile(SIZE)
_PERCENT = re.compile(PERCENT)
_LOOSE_SIZE = re.compile(r"([0-9]{1,15})\s*([kmgt])i?b?", re.IGNORECASE)

DURATION_MAX = 365 * 24 * 3600.0
SIZE_MAX = 1 << 50
"""1 PiB: far above any use, far below what overflows a C `long`."""
HEAD_SIZE_MAX = 16 << 20

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
# Underscores are no DNS host names, but container networks use them.
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_UNIX_PATH_MAX = 107
"""`sun_path` is 108 bytes with the closing NUL (unix(7))."""

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}"
_UPSTREAM_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]*"
_ALGORITHM = re.compile(rf"[a-z][a-z0-9_]*|{_IDENTIFIER}(\.{_IDENTIFIER})*:{_IDENTIFIER}")
_PLACEHOLDER = re.compile(r"\{[^{}]*\}?|\}")
_PLACEHOLDERS = ("{host}", "{path}", "{query}")
_KEY = re.compile(rf"(header|query|cookie|path):{_TOKEN}")

# The proxy frames both messages itself; these would contradict it (RFC 9110 7.6.1, RFC 9112 6).
_FRAMING_HEADERS = frozenset(
    {"content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer"}
    | {"proxy-connection"}
)


def parse_duration(value: object) -> float:
    """Seconds of "250ms", "2s", "5m", "1h"; a plain 0 is 0. May be 0."""
    if isinstance(value, str) and (match := _DURATION.fullmatch(value)):
        seconds = float(match[1]) * _MILLISECONDS[match[2]] / 1000
        if seconds > DURATION_MAX:
            raise ValueError(f"{quoted(value)} is longer than a year, the longest duration allowed (8760h)")
        return seconds
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value == 0:
            return 0.0
        if value < 0:
            raise ValueError("must be greater than 0")
        raise ValueError(f"a duration needs a unit; write {value}s for seconds or {value}ms for milliseconds")
    raise ValueError(f"must be a duration such as 250ms, 2s, 5m or 1h, not {described(value)}")


def parse_positive_duration(value: object) -> float:
    seconds = parse_duration(value)
    if seconds <= 0:
        raise ValueError("must be greater than 0; where no limit is wanted, write a long one such as 24h")
    return seconds


def parse_percent(value: object) -> float:
    """The share, from 0 to 1, of "50%"."""
    if isinstance(value, str) and (match := _PERCENT.fullmatch(value)):
        share = float(match[1]) / 100
        if share <= 1:
            return share
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"must be a percentage such as 50%; put a percent sign behind {value}")
    raise ValueError(f"must be a percentage from 0% to 100%, not {described(value)}")


def parse_size(value: object) -> int:
    """Bytes of "64KiB", "1MiB", "1GiB" or of a plain integer."""
    if isinstance(value, str) and (match := _SIZE.fullmatch(value)):
        return _bounded_size(int(match[1]) * _BYTES[match[2]])
    if isinstance(value, int) and not isinstance(value, bool):
        return _bounded_size(value)
    hint = ""
    if isinstance(value, str) and (match := _LOOSE_SIZE.fullmatch(value)):
        hint = f" (did you mean {match[1]}{match[2].upper()}iB?)"
    raise ValueError(f"must be a size such as 64KiB, 1MiB, 1GiB or a number of bytes, not {described(value)}{hint}")


def parse_head_size(value: object) -> int:
    """As `parse_size`, for sizes of buffers in memory."""
    if (size := parse_size(value)) > HEAD_SIZE_MAX:
        raise ValueError("must be at most 16MiB: every connection may take that much memory")
    return size


def _bounded_size(size: int) -> int:
    if not 0 < size <= SIZE_MAX:
        raise ValueError("must be greater than 0" if size <= 0 else "must be at most 1024TiB")
    return size


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen or to connect. `str()` gives the canonical text, which two equal addresses share."""

    kind: Literal["tcp", "unix"]
    host: str = ""
    """Name or IP address, lower case, without brackets; "" means all addresses (only to listen)."""
    port: int = 0
    """0 means any free port (only to listen)."""
    path: str = ""
    """The socket's path if `kind` is "unix"."""

    def __str__(self) -> str:
        if self.kind == "unix":
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_bind(value: object) -> Address:
    """An address to listen on: as `parse_address`, or ":8080" (all addresses); port 0 is any free port."""
    if isinstance(value, str) and value.startswith("*:"):
        raise ValueError(f"write {quoted(value[1:])} to listen on all addresses")
    return _parse_address(value, "127.0.0.1:8080", listening=True)


def parse_address(value: object) -> Address:
    """An address to connect to: "host:port", "[v6]:port" or "unix:/path"."""
    return _parse_address(value, "127.0.0.1:9001", listening=False)


def _parse_address(value: object, example: str, listening: bool) -> Address:
    if isinstance(value, Address):
        return value
    if not isinstance(value, str):
        raise ValueError(f"must be an address such as {example} or unix:/run/app.sock, not {described(value)}")
    if value.startswith("unix:"):
        return _unix(value.removeprefix("unix:"))
    if "://" in value:
        raise ValueError(f"must be host:port without a scheme, such as {example}, not {quoted(value)}")
    host, colon, port = value.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")):
        raise ValueError(_without_port(value, example))
    return Address("tcp", _host(host, listening, example), _port(port, listening))


def _without_port(value: str, example: str) -> str:
    bare = value.strip("[]")
    if ":" in bare and _ip(bare):
        return f'an IPv6 address needs brackets and a port; write "[{bare}]:{example.rpartition(":")[2]}"'
    return f"the port is missing; write host:port, such as {example}, or unix:/path"


def _host(text: str, listening: bool, example: str) -> str:
    if not text:
        if listening:
            return ""
        raise ValueError(f"the host is missing; write host:port, such as {example}")
    if text.startswith("["):
        inner = _ip(text[1:-1]) if text.endswith("]") else None
        if inner is None or ":" not in inner:
            raise ValueError(f"{quoted(text)} is no IPv6 address in brackets, such as [::1]")
        return inner
    return _name_or_ipv4(text)


def _name_or_ipv4(text: str) -> str:
    name = text.lower()
    if is_host_name(name):
        return name
    raise ValueError(f"{quoted(text)} is neither an IP address nor a host name")


def is_host_name(text: str) -> bool:
    """Is this lower-case text a host name or an IPv4 address? A last label of digits makes it an address."""
    if len(text) > 253 or not _HOST_NAME.fullmatch(text):
        return False
    return not text.rpartition(".")[2].isdigit() or _ip(text) is not None


def _ip(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _port(text: str, listening: bool) -> int:
    lowest = 0 if listening else 1
    if not (text.isascii() and text.isdigit()) or len(text) > 5 or not lowest <= int(text) <= 65535:
        raise ValueError(f"the port must be a number from {lowest} to 65535, not {quoted(text)}")
    return int(text)


def _unix(path: str) -> Address:
    if not path.startswith("/"):
        raise ValueError(f"the path of a unix socket must begin with /, as in unix:/{path or 'run/app.sock'}")
    if has_control(path):
        raise ValueError("the path of a unix socket holds a control character")
    if len(path.encode("utf-8", "replace")) > _UNIX_PATH_MAX:
        raise ValueError(f"the path of a unix socket must be at most {_UNIX_PATH_MAX} bytes long")
    return Address("unix", path=path)


def check_file(value: str) -> str:
    """The path of a file, relative or absolute. What the system refuses to look for is no path."""
    if has_control(value):
        raise ValueError("the path of a file must not hold control characters")
    return value


def check_host(value: str) -> str:
    """The host of a route, lower case: "*", a name, an address, or "*.example.com"."""
    host = value.lower()
    bare = host.removeprefix("*.")
    if host == "*" or is_host_name(bare):
        return host
    if host.startswith("[") and host.endswith("]") and ":" in host and (address := _ip(host[1:-1])):
        return f"[{address}]"
    if is_host_name(re.sub(r":[0-9]*$", "", bare)):
        raise ValueError(f"must not have a port; write {quoted(host.rpartition(':')[0])}")
    if bare.endswith(".") and is_host_name(bare[:-1]):
        raise ValueError(f"must not end in a dot; write {quoted(host[:-1])}")
    raise ValueError(f'must be "*", a host name such as example.com, or "*.example.com", not {quoted(value)}')


def check_path(value: str) -> str:
    """A path in the form that requests have when they are matched: one in another form would never match."""
    if not value.startswith("/"):
        raise ValueError(f'must begin with "/"; write {quoted("/" + value)}')
    if found := re.search(r'[?#"<>\\\s\x00-\x1f\x7f]', value):
        raise ValueError(f"must be a path only; {quoted(found[0])} does not belong there")
    if re.search(r"%(?![0-9A-Fa-f]{2})", value):
        raise ValueError('a "%" must be followed by two hexadecimal digits; for the sign itself write "%25"')
    if not value.isascii():
        raise ValueError(f"must be percent-encoded; write {quoted(_percent_encoded(value))}")
    if "//" in value or any(part in (".", "..") for part in value.split("/")):
        raise ValueError('must not hold "//", "/./" or "/../": requests are matched after those are resolved')
    return value


def _percent_encoded(value: str) -> str:
    return "".join(f"%{byte:02X}" if byte > 127 else chr(byte) for byte in value.encode("utf-8", "replace"))


def check_regex(value: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what `re` may read differently one day is no error today
        try:
            re.compile(value.encode())  # paths and header values are bytes
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"is no valid regular expression: {error}") from None
    return value


def check_token(value: str) -> str:
    """A token of RFC 9110 5.6.2."""
    if not re.fullmatch(_TOKEN, value):
        raise ValueError(f"{quoted(value)} is no token; only letters, digits and !#$%&'*+-.^_`|~ may occur")
    return value


def check_upgrade(value: str) -> str:
    """A protocol name of the Upgrade header, lower case."""
    if value.lower() in ("h2c", "tls/1.0"):
        raise ValueError(f"{value} cannot be allowed: the requests inside would pass by every route")
    return "/".join(check_token(part) for part in value.lower().split("/", 1))


def check_header_name(value: str) -> str:
    if value.lower() in _FRAMING_HEADERS:
        raise ValueError(f"{value} cannot be changed: the proxy writes it for each connection")
    return check_token(value)


def check_header_but_host(value: str) -> str:
    if value.lower() == "host":
        raise ValueError("Host cannot be changed here; it can be set in request_headers.set")
    return check_header_name(value)


def check_respond_header(value: str) -> str:
    if value.lower() == "content-type":
        raise ValueError("Content-Type has a key of its own; write content_type")
    return check_header_but_host(value)


def check_header_value(value: str) -> str:
    if has_control(value):
        raise ValueError("the value of a header must not hold control characters or line ends")
    if not value.isascii():
        raise ValueError("the value of a header must be ASCII (RFC 9110 5.5)")
    if value != value.strip():
        raise ValueError("the value of a header must not begin or end with a space")
    return value


def check_redirect(value: str) -> str:
    for found in _PLACEHOLDER.findall(value):
        if found not in _PLACEHOLDERS:
            raise ValueError(f"{quoted(found)} is no placeholder; there are {', '.join(_PLACEHOLDERS)}")
    if not re.match(r"https?://[^/]|/|\{path\}", value):
        raise ValueError(f'must begin with "http://", "https://" or "/", not {quoted(value)}')
    if " " in value:
        raise ValueError("must not hold a space; write %20")
    return check_header_value(value)


def check_upstream_name(value: str) -> str:
    if not _UPSTREAM_NAME.fullmatch(value):
        raise ValueError(f"{quoted(value)} is no name: at most 64 letters, digits, '_', '-' and '.'")
    return value


def check_algorithm(value: str) -> str:
    if not _ALGORITHM.fullmatch(value):
        raise ValueError(f'must be the name of an algorithm or "module:Class", not {quoted(value)}')
    return value


def check_key(value: str) -> str:
    """Where a request's key is taken from, for the algorithms that need one."""
    if not _KEY.fullmatch(value):
        raise ValueError(f"must be header:NAME, query:NAME, cookie:NAME or path:NAME, not {quoted(value)}")
    return value


def check_place(value: str) -> str:
    """The name of a zone, a region or a proxy."""
    if not re.fullmatch(r"[\w.:/-]{1,128}", value, re.ASCII):
        raise ValueError(f"must be a name of letters, digits and - _ . : /, not {quoted(value)}")
    return value


def parse_network(value: object) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    if isinstance(value, ipaddress.IPv4Network | ipaddress.IPv6Network):
        return value
    if isinstance(value, str):
        try:
            return ipaddress.ip_network(value, strict=False)
        except ValueError:
            pass
    raise ValueError(f"must be a network such as 10.0.0.0/8, 192.0.2.7 or fd00::/8, not {described(value)}")


def parse_workers(value: object) -> int | Literal["auto"]:
    if value == "auto":
        return "auto"
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1024:
        return value
    raise ValueError(f"must be a number from 1 to 1024 or auto, not {described(value)}")


def refuse_shards(value: object) -> None:
    if value is not None:
        raise ValueError("shard routing is not part of this version")


def has_control(text: str) -> bool:
    return any(char < " " or char == "\x7f" for char in text)


def quoted(text: str) -> str:
    """The text in double quotes, cut to a length that fits into one line of a report."""
    shown = text if len(text) <= 60 else text[:57] + "..."
    return '"' + "".join(char if char.isprintable() else repr(char)[1:-1] for char in shown) + '"'


def described(value: object) -> str:
    """A value in the words of a configuration file, not of Python."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list | tuple) else f"the number {value}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
