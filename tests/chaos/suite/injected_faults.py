"""Faults that chaos rules inject: what they do to those that they strike, and to nobody else."""

from __future__ import annotations

from typing import Any

from proxy.features.chaos import Delay
from proxy.features.chaos.rules import FORWARD

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
    struck,
    success,
)
from .steps import end_rules, inject, stop_rules
from .world import SHORT_CONNECT

SOON = {"delay": Delay(0.02, jitter=0.02)}
NEVER = {"delay": Delay(30.0)}
TENTH = {"share": 0.1, "seed": 4}


def fault(stage: str, name: str, **more: Any) -> tuple[str, str, dict[str, Any]]:
    return stage, name, more


def quick(stage: str) -> dict[str, Any]:
    return {"share": 0.3, "seed": 1, **SOON}


ALL = (
    *(
        Scenario(
            f"requests are delayed at {stage}",
            [inject(fault(stage, "delay", **quick(stage)))],
            [all_succeed(), struck("delay", 20)],
        )
        for stage in (*FORWARD, "relay", "store", "finish")
    ),
    Scenario(
        "a tenth is answered with an error",
        [inject(fault("admit", "abort", status=500, **TENTH))],
        [only("200", "500"), reasons("admit.chaos"), at_most(35), at_least(5, "500")],
    ),
    Scenario(
        "a tenth is reset",
        [inject(fault("pick", "reset", **TENTH))],
        [only("200", "cut"), at_most(35), at_least(5, "cut"), counted("pick.chaos")],
    ),
    Scenario(
        "no more than the cap is struck", [inject(fault("admit", "abort", cap=0.1))], [only("200", "503"), at_most(15)]
    ),
    Scenario(
        "a backend refuses connections by a rule",
        [inject(fault("connect", "connect_refused"), on=0)],
        [all_succeed(), ejected(0), asked_at_most(0, 0)],
    ),
    Scenario(
        "a backend refuses POST by a rule",
        [inject(fault("connect", "connect_refused"), on=0)],
        [all_succeed(), ejected(0)],
        load=Load(method="POST", body=2000),
    ),
    Scenario(
        "a backend takes too long to accept",
        [inject(fault("connect", "connect_delay", **NEVER), on=0)],
        [all_succeed(), ejected(0)],
        more=SHORT_CONNECT,
    ),
    Scenario(
        "a backend takes a little long to accept",
        [inject(fault("connect", "connect_delay", **SOON), on=0)],
        [all_succeed(), not_ejected(0)],
    ),
    Scenario(
        "a backend is a black hole at connect",
        [inject(fault("connect", "black_hole"), on=0)],
        [all_succeed(), ejected(0)],
        more=SHORT_CONNECT,
    ),
    Scenario(
        "a backend is a black hole at send",
        [inject(fault("send", "black_hole"), on=0)],
        [all_succeed(), ejected(0), asked_at_most(0, 0)],
        upstream="retry: {per_try: 300ms}",
    ),
    Scenario(
        "a backend's answers are lost",
        [inject(fault("relay", "black_hole"), on=0)],
        [all_succeed(), ejected(0)],
        upstream="retry: {per_try: 300ms}",
    ),
    Scenario(
        "a backend's answers become 503, tried elsewhere",
        [inject(fault("relay", "abort", status=503), on=0)],
        [all_succeed(), ejected(0)],
        upstream="retry: {on: [503]}",
    ),
    Scenario(
        "a backend's answers become 500",
        [inject(fault("relay", "abort", status=500), on=0)],
        [at_most(13), only("200", "500"), reasons("relay.chaos"), ejected(0)],
    ),
    Scenario(
        "answers come with limited bandwidth",
        [inject(fault("relay", "bandwidth", rate=2000, **TENTH))],
        [all_succeed(), struck("bandwidth", 5)],
    ),
    Scenario(
        "answers are cut after two bytes",
        [inject(fault("relay", "truncate", size=2, **TENTH))],
        [only("200", "cut"), at_most(35), at_least(5, "cut"), counted("relay.chaos", 5)],
    ),
    Scenario(
        "a header of the answers is garbled",
        [inject(fault("relay", "corrupt_header", header=b"x-target", share=0.0))],
        [all_succeed()],
    ),
    Scenario(
        "answers end late",
        [inject(fault("finish", "slow_close", **quick("finish")))],
        [all_succeed(), struck("slow_close", 20)],
    ),
    Scenario(
        "answers are reset before their end",
        [inject(fault("finish", "reset", **TENTH))],
        [only("200", "cut"), at_least(5, "cut")],
    ),
    Scenario(
        "answers do not end",
        [inject(fault("finish", "black_hole", **TENTH)), stop_rules(after=100)],
        [all_succeed()],
        load=Load(150, 40),
    ),
    Scenario(
        "two faults at a time",
        [inject(fault("pick", "delay", **quick("pick")), fault("relay", "bandwidth", rate=5000, **TENTH))],
        [all_succeed(), struck("delay"), struck("bandwidth")],
    ),
    Scenario(
        "rules are taken away while they hold requests",
        [inject(fault("send", "delay", share=0.2, seed=1, **NEVER)), stop_rules(after=40)],
        [all_succeed(), fact("nothing is held", lambda w: not w.injector.held)],
        load=Load(300, 40),
    ),
    Scenario(
        "nobody is there to take the rules away",
        [inject(fault("admit", "abort")), end_rules(after=40)],
        [only("200", "503"), at_least(200, "200")],
        load=Load(300),
    ),
    Scenario(
        "rules come and go under load",
        [
            step
            for n in range(5)
            for step in (inject(fault("send", "delay", **SOON), after=10 + 25 * n), stop_rules(after=20 + 25 * n))
        ],
        [all_succeed(), asked_at_least(0, 20)],
    ),
    Scenario(
        "a dry run touches nobody",
        [inject(fault("admit", "abort", dry_run=True), fault("connect", "connect_refused", dry_run=True))],
        [all_succeed(), struck("abort", 150), struck("connect_refused", 150)],
    ),
    Scenario(
        "a backend refuses connections half of the time",
        [inject(fault("connect", "connect_refused", share=0.5, seed=3), on=0)],
        [success(0.99)],
    ),
)
