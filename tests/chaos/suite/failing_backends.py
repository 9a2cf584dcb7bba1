"""Backends that die, hang, lie and break off: what their clients see of it."""

from __future__ import annotations

from . import backends as b
from .load import Load
from .scenario import (
    Scenario,
    all_succeed,
    asked_at_least,
    asked_at_most,
    at_least,
    at_most,
    counted,
    ejected,
    fact,
    not_ejected,
    only,
    reasons,
    success,
)
from .steps import all_behave, behave, kill, restart, until_ejection_is_over
from .world import SHORT

POST = Load(method="POST", body=2000)
NO_RETRY = "retry: {attempts: 0}"
NO_EJECTION = "outlier: null"
IN_FLIGHT = 8
"""Clients of the usual load: so many requests may be on their way when a backend fails."""
FIVE = 5 + IN_FLIGHT
"""What a backend that fails can spoil until it is ejected: five in a row, and what was on its way to it."""

DEATH = (
    Scenario("a backend is killed", [kill(0, after=40)], [all_succeed(), ejected(0)]),
    Scenario(
        "a backend is killed while large answers come from it",
        [all_behave("answer with 200 kB", b.large(200_000)), kill(0, after=40)],
        [success(0.9), only("200", "cut")],
    ),
    Scenario(
        "a backend is killed, each request on a new connection",
        [kill(0, after=40)],
        [all_succeed()],
        load=Load(new_connection=True),
    ),
    Scenario(
        "a backend is killed under POST",
        [kill(0, after=40)],
        [at_most(IN_FLIGHT), only("200", "502", "504"), ejected(0)],
        load=POST,
    ),
    Scenario("two of three backends are killed", [kill(0, after=40), kill(1, after=60)], [all_succeed()]),
    Scenario("two of three backends are killed at once", [kill(0, after=40), kill(1, after=40)], [success(0.95)]),
    Scenario("a backend was never there", [kill(0)], [all_succeed(), ejected(0)]),
    Scenario("a backend dies and comes back", [kill(0, after=30), restart(0, after=60)], [all_succeed()]),
    Scenario(
        "a backend that comes back gets requests again",
        [kill(0), restart(0, after=30), until_ejection_is_over(0, after=31)],
        [all_succeed(), asked_at_least(0, 5)],
        upstream="outlier: {connect_ejection: 100ms}, slow_start: null",
    ),
    Scenario(
        "a backend dies and comes back, again and again",
        [step for n in range(5) for step in (kill(0, after=20 + 20 * n), restart(0, after=30 + 20 * n))],
        [all_succeed()],
    ),
    Scenario(
        "all backends are killed",
        [kill(n, after=50) for n in range(3)],
        [only("200", "502", "503", "504"), at_least(40, "200")],
    ),
    Scenario(
        "all backends are killed and come back",
        [*(kill(n, after=50) for n in range(3)), *(restart(n, after=60) for n in range(3))],
        [only("200", "502", "503", "504"), at_least(60, "200")],
        upstream="outlier: {connect_ejection: 50ms}, panic: 0%",
        load=Load(requests=2000),
    ),
    Scenario(
        "the only backend is killed", [kill(0, after=50)], [at_least(50, "200"), only("200", "502", "503")], backends=1
    ),
)

SILENCE = (
    Scenario(
        "a backend takes requests and never answers",
        [behave(0, "hangs", b.hang)],
        [all_succeed(), ejected(0), asked_at_most(0, FIVE)],
        upstream="retry: {per_try: 300ms}",
    ),
    Scenario(
        "a backend never answers, and nothing is sent again",
        [behave(0, "hangs", b.hang)],
        [at_most(FIVE), only("200", "504"), reasons("relay.head_timeout"), ejected(0)],
        upstream=NO_RETRY,
        more=SHORT,
    ),
    Scenario(
        "a backend never answers POST",
        [behave(0, "hangs", b.hang)],
        [at_most(FIVE), only("200", "504"), ejected(0)],
        load=POST,
        more=SHORT,
    ),
    Scenario("all backends hang", [all_behave("hang", b.hang)], [only("504", "503")], load=Load(30, 6), more=SHORT),
    Scenario("a backend is slow", [behave(0, "takes 30 ms", b.slow(0.03))], [all_succeed(), not_ejected(0)]),
    Scenario(
        "a backend's head comes a byte at a time",
        [behave(0, "drips its head", b.drips)],
        [all_succeed(), ejected(0)],
        upstream="retry: {per_try: 300ms}",
    ),
    Scenario(
        "a backend stops in the middle of its answers",
        [behave(0, "stalls", b.stalls)],
        [only("200", "cut"), success(0.5), counted("relay.idle_timeout")],
        load=Load(60),
        more=SHORT,
    ),
)

BREAKING_OFF = (
    Scenario("a backend resets every request", [behave(0, "resets", b.reset)], [all_succeed(), ejected(0)]),
    Scenario("a backend closes without an answer", [behave(0, "closes", b.close)], [all_succeed(), ejected(0)]),
    Scenario(
        "a backend resets every POST",
        [behave(0, "resets", b.reset)],
        [at_most(FIVE), only("200", "502"), ejected(0)],
        load=POST,
    ),
    Scenario("all backends reset everything", [all_behave("reset", b.reset)], [only("502", "503")], load=Load(60)),
    Scenario(
        "a backend closes idle connections without a word",
        [behave(0, "forgets", b.forgets)],
        [all_succeed(), not_ejected(0)],
    ),
    Scenario(
        "all backends close idle connections without a word",
        [all_behave("forget", b.forgets)],
        [all_succeed()],
        load=Load(clients=2),
    ),
    Scenario(
        "all backends close behind each answer to POST without a word",
        [all_behave("close", b.closes_behind)],
        [all_succeed(), not_ejected(0)],
        load=POST,
    ),
    Scenario(
        "a backend breaks off its answers",
        [behave(0, "breaks off", b.truncated)],
        [only("200", "cut"), success(0.5), counted("relay.incomplete")],
    ),
    Scenario(
        "a backend breaks off its chunks",
        [behave(0, "breaks off", b.truncated_chunks)],
        [only("200", "cut"), success(0.5), counted("relay.incomplete")],
    ),
)

NONSENSE = (
    *(
        Scenario(
            f"a backend answers with {what}",
            [behave(0, f"sends {what}", behaviour)],
            [at_most(FIVE), only("200", "502"), reasons(reason), ejected(0)],
        )
        for what, behaviour, reason in (
            ("garbage", b.garbage, "relay.bad_status_line"),
            ("two lengths", b.two_lengths, "relay.bad_content_length"),
            ("a length and chunks", b.length_and_chunks, "relay.length_and_coding"),
            ("a head without end", b.huge_head, "relay.head_too_large"),
            ("a protocol that nobody asked for", b.unasked_upgrade, "relay.unasked_upgrade"),
            ("1xx without end", b.endless_interim, "relay.too_many_interim"),
        )
    ),
    Scenario(
        "a backend sends a second answer that nobody asked for",
        [all_behave("smuggle", b.smuggles)],
        [
            all_succeed(),
            fact("no connection is used again", lambda w: all(s.accepted >= s.requests for s in w.servers)),
        ],
    ),
)

ERRORS = (
    Scenario(
        "a backend answers 503",
        [behave(0, "is overloaded", b.status(b"503 Busy"))],
        [at_most(FIVE), only("200", "503"), ejected(0)],
    ),
    Scenario(
        "a backend answers 503, and that is tried elsewhere",
        [behave(0, "is overloaded", b.status(b"503 Busy"))],
        [all_succeed(), ejected(0)],
        upstream="retry: {on: [503]}",
    ),
    Scenario(
        "a backend answers 500 half of the time",
        [behave(0, "fails now and then", b.alternates(b.ok, b.status(b"500 Oops")))],
        [success(0.75), only("200", "500")],
    ),
    Scenario("all backends answer 500", [all_behave("fail", b.status(b"500 Oops"))], [only("500"), reasons()]),
    Scenario(
        "all backends fail, and retries stay within their budget",
        [all_behave("fail", b.status(b"503 Busy"))],
        [
            only("503"),
            fact("no more than 1.6 requests for each", lambda w: sum(s.requests for s in w.servers) <= 1.6 * 400),
        ],
        upstream="retry: {on: [503], budget_min: 1, attempts: 3}, outlier: null",
        load=Load(400, 8),
    ),
    Scenario(
        "backends mend themselves",
        [all_behave("fail", b.status(b"500 Oops")), all_behave("are well", b.ok, after=50)],
        [at_least(80, "200"), only("200", "500")],
    ),
)

ALL = (*DEATH, *SILENCE, *BREAKING_OFF, *NONSENSE, *ERRORS)
