"""Fast fuzzing of the codec: `python -m tests.fuzz.fuzz_codec --seconds 60 [--seed N]`.

Where hypothesis grows few inputs with care, this damages the cases of tests/http1 by the million. Same
invariants: an input parses, asks for more, or raises ProtocolError; how it is cut changes nothing; what is
forwarded is read as the same again. Stops at the first input that breaks one and prints it. An interpreter-
level coverage guide would be blind here: what is fuzzed is C.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from collections.abc import Callable

from proxy.errors import Reason
from proxy.http1.codec import RequestHead, canonicalize

from ..http1 import cases_chunked, cases_request, cases_response
from ..http1.cases_smuggling import CORPUS
from ..http1.wire import MORE, Body, decode, parse_request, parse_response, through_buffer

REQUESTS = [row[1] for row in (*cases_request.ACCEPTS * 3, *cases_request.REJECTS)]
REQUESTS += [b"POST / HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n" % row[1] for row in CORPUS]
RESPONSES = [row[1] for row in (*cases_response.ACCEPTS * 3, *cases_response.REJECTS)]
BODIES = [row[1] for row in cases_chunked.ACCEPTS * 5] + [row[1] for row in cases_chunked.REJECTS]
NASTY = [bytes([byte]) for byte in range(256)]
NASTY += [
    b"\r\n",
    b"\r\n\r\n",
    b"chunked",
    b"\r\nContent-Length: 1",
    b"Connection: host, a\r\n",
    b"%2e",
    b"/../",
    b"//",
    b"1;a=",
]


def fuzz_request(data: bytes, cut: int) -> object:
    whole = parse_request(data)
    partial = parse_request(data[:cut])
    assert partial in (MORE, whole)
    assert through_buffer([data[:cut], data[cut:]]) == parse_request(data + b"\r\n\r\n")
    if isinstance(whole, Reason) or whole == MORE:
        return whole
    head = RequestHead()
    head.parse(data, 0)
    sent = head.forward(None, b"Via: a\r\n", 0, True, head.upgrade, None)
    assert canonicalize(head.path) == head.path or head.path == b"*"
    if head.host:
        again = RequestHead()
        again.max_count = 1000  # forwarding adds lines
        assert again.parse(sent, 0) == len(sent)
        assert (again.path, again.host, again.method) == (head.path, head.host, head.method)
        assert (again.content_length, again.chunked) == (head.content_length, head.chunked)
    return "accepted"


def fuzz_response(data: bytes, cut: int) -> object:
    whole = parse_response(data)
    assert parse_response(data[:cut]) in (MORE, whole)
    if isinstance(whole, tuple) and not isinstance(whole, Reason):
        again = parse_response(whole[-1])
        assert isinstance(again, tuple) and again[-1] == whole[-1] and again[3:5] == whole[3:5]
        return "accepted"
    return whole


def fuzz_chunked(data: bytes, cut: int) -> object:
    whole = decode([data])
    assert decode([data[:cut], data[cut:]]) == whole
    if isinstance(whole, Body):
        assert decode([whole.out]) == whole._replace(rest=b"")
        return "accepted"
    return whole


TARGETS: list[tuple[Callable[[bytes, int], object], list[bytes]]] = [
    (fuzz_request, REQUESTS),
    (fuzz_response, RESPONSES),
    (fuzz_chunked, BODIES),
]


def damage(data: bytes, chance: random.Random) -> bytes:
    """The data after one to four small steps."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randint(0, len(data))
        size = chance.choice((0, 1, 1, 2, 8))
        nasty = chance.choice(NASTY)
        step = chance.randrange(5)
        if step == 0:
            data = data[:at] + nasty + data[at:]
        elif step == 1:
            data = data[:at] + data[at + size :]
        elif step == 2:
            data = data[:at] + nasty + data[at + 1 :]
        elif step == 3:
            data = data[:at] + data[at : at + size * 4] * 2 + data[at + size * 4 :]
        else:
            other = chance.randint(0, len(data))
            data = data[:at] + data[other : other + size * 4] + data[at:]
    return data


def run(seconds: float, seed: int) -> Counter[str]:
    """Fuzz for so long; what came out how often."""
    chance = random.Random(seed)
    outcomes: Counter[str] = Counter()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for fuzz, cases in TARGETS:
            for _ in range(200):
                data = damage(chance.choice(cases), chance)
                cut = chance.randint(0, len(data))
                try:
                    outcome = fuzz(data, cut)
                except BaseException:
                    print(f"{fuzz.__name__}({data!r}, {cut})")
                    raise
                outcomes[outcome.name if isinstance(outcome, Reason) else str(outcome)] += 1
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz the codec.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    arguments = parser.parse_args()
    seed = arguments.seed or random.SystemRandom().randrange(1, 1 << 32)
    print(f"seed {seed}")
    outcomes = run(arguments.seconds, seed)
    print(
        f"{outcomes.total()} inputs",
        *(f"{count:9} {name}" for name, count in outcomes.most_common()),
        sep="\n",
    )


if __name__ == "__main__":
    main()
