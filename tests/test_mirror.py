"""The tree of tests mirrors the tree of the package: for each module a file of its own, or a reason why not."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE, TESTS = ROOT / "proxy", ROOT / "tests"

ELSEWHERE = {
    "__main__.py": ("e2e/test_safe_path.py", "every command there starts with `python -m proxy`"),
    "cli.py": ("e2e/test_cli.py", "arguments, exit codes and reports only mean something in a process"),
    "plan.py": ("configuration/test_compile.py", "plain data; what matters is what it is compiled from"),
    "exchange.py": ("e2e/test_data_path.py", "state and interfaces; what happens to it is the data path"),
    "features/sticky/stages.py": ("e2e/test_sticky.py", "who answers a client, and what it is told, takes two sockets"),
    "stages/rewrite.py": (
        "e2e/test_routes.py",
        "paths, Host and locations are told by what the backend and the client get",
    ),
    "stages/finish.py": ("e2e/test_data_path.py", "the ends of a request are told by what both sides see"),
    "pipeline.py": ("e2e/test_data_path.py", "the stages only make sense between two sockets"),
    "stages/relay.py": ("e2e/test_data_path.py", "the way back only makes sense between two sockets"),
    "features/geo/key.py": ("features/geo/test_locator.py", "a key is what the locator finds, and the rest"),
    "features/chaos/holding.py": (
        "features/chaos/test_stages.py",
        "what is held back is told by what the client gets, and when",
    ),
    "downstream/http1/connection.py": ("e2e/test_data_path.py", "its contract is bytes on a socket"),
    "downstream/http1/body.py": ("e2e/test_data_path.py", "its contract is bytes on a socket"),
    "downstream/acceptor.py": ("e2e/test_data_path.py", "limits are told by connections that are refused"),
    "upstream/spec.py": ("upstream/test_group.py", "plain values, which a group takes up"),
    "upstream/http1.py": ("e2e/test_data_path.py", "its contract is bytes on a socket"),
    "upstream/pool.py": ("e2e/test_data_path.py", "what it keeps is told by the backend's connections"),
    "features/load_reports/stages.py": (
        "e2e/test_reports.py",
        "what is read on the way back is told by the algorithm and the client",
    ),
    "http1/codec.pyx": ("http1/test_request_head.py", "one file for each thing that it does: test_chunked and so on"),
    "http1/framing.py": ("http1/test_chunked.py", "a thin layer over the codec's decoder"),
    "stages/hedge.py": ("e2e/test_hedging.py", "which of two answers counts is told by what the client gets"),
    "features/tracing/stages.py": ("e2e/test_tracing.py", "what is noted is told by spans and by what backends get"),
    "features/tracing/hedging.py": ("e2e/test_tracing.py", "what is noted is told by spans and by what backends get"),
    "features/tracing/recorder.py": ("e2e/test_tracing.py", "what is kept is told by what the collector gets"),
    "control/trace_export/spans.py": ("e2e/test_tracing.py", "spans are read from what the collector gets"),
    "control/trace_export/exporter.py": ("e2e/test_tracing.py", "it needs a collector"),
    "control/explain_sticky.py": ("configuration/sections/test_sticky.py", "its words are part of an explanation"),
    "features/sticky/spec.py": ("configuration/sections/test_sticky.py", "plain values, which a route is linked from"),
    "control/explain_tracing.py": ("control/test_explain.py", "its words are part of an explanation"),
    "stages/retry.py": ("e2e/test_retries.py", "what is sent again is told by what the backends get"),
    "balancing/ai_explain.py": ("balancing/test_ai_scored.py", "it tells what the algorithm has learned there"),
    "balancing/structures/probe_pool.py": ("balancing/test_prequal.py", "a pool is told by what is picked from it"),
    "control/admin/balancing.py": ("e2e/test_backends.py", "what algorithms know is asked of workers"),
    "configuration/effects.py": ("configuration/test_diff.py", "a change is told by what two configurations differ in"),
    "control/http_sessions.py": ("control/test_health_checks.py", "a session is told by what the backend is asked"),
    "stages/admit.py": ("e2e/test_overload.py", "who is let in is told by the answers"),
    "downstream/http1/response.py": ("e2e/test_data_path.py", "its contract is bytes on a socket"),
    "features/chaos/links.py": ("features/chaos/test_injector.py", "what is linked is told by the chain"),
    "features/sticky/links.py": ("configuration/sections/test_sticky.py", "what is linked is told by the chain"),
    "features/tracing/links.py": ("e2e/test_tracing.py", "what is linked is told by spans"),
    "http/peer.py": ("e2e/test_headers.py", "what is believed is told by what backends get"),
    "http1/phrases.py": ("http/test_local_replies.py", "a table"),
    "http1/rendering.py": ("http/test_local_replies.py", "rendered replies are read by h11 there"),
    "stages/attempt.py": ("stages/test_ports.py", "attempts are driven between fakes"),
    "stages/connect.py": ("stages/test_ports.py", "driven between fakes"),
    "stages/pick.py": ("stages/test_ports.py", "driven between fakes"),
    "stages/route.py": ("e2e/test_routes.py", "routes are told by answers"),
    "stages/send.py": ("e2e/test_headers.py", "what is sent is told by what backends get"),
    "upstream/ports.py": ("stages/test_ports.py", "interfaces, which fakes implement"),
    "console/admin_client.py": ("e2e/test_processes.py", "every command there is asked through it"),
    "control/admin/contract.py": ("control/admin/test_app.py", "interfaces"),
    "control/admin/top.py": ("e2e/test_backends.py", "sums over workers need workers"),
    "control/admin/chaos.py": ("e2e/test_chaos.py", "experiments need workers"),
    "server/orphans.py": ("e2e/test_processes.py", "workers whose supervisor was killed are real processes"),
    "server/chaos_target.py": ("e2e/test_chaos.py", "experiments need workers"),
    "control/admin/guard.py": ("control/admin/test_app.py", "one file for the whole API, by its requests"),
    "control/admin/views.py": ("control/admin/test_app.py", "one file for the whole API, by its requests"),
    "server/logs.py": ("e2e/test_processes.py", "the lines are read there"),
    "server/messages.py": ("e2e/test_processes.py", "plain data"),
    "server/runtime_paths.py": ("e2e/test_processes.py", "commands find the process by it"),
    "server/supervisor.py": ("e2e/test_processes.py", "needs processes"),
    "server/takeover.py": ("e2e/test_processes.py", "needs processes that go"),
    "server/workers.py": ("e2e/test_processes.py", "needs processes"),
    "console/policy/skeleton.py": ("e2e/test_policy.py", "what is written of it is tested by its own test, and serves"),
    "console/policy/skeleton_test.py": ("e2e/test_policy.py", "it is run there as a user runs it"),
    "upstream/source.py": ("control/discovery/test_base.py", "the contract is tested where sources run"),
    "control/chaos/contract.py": ("control/chaos/test_controller.py", "interfaces and plain data"),
    "configuration/findings.py": ("configuration/test_rules.py", "helpers of rules are told by what rules say"),
    "configuration/site.py": ("configuration/test_compile.py", "plain references, for what is compiled"),
    "configuration/schema.py": ("configuration/test_load.py", "models are tested through what loads them"),
    "configuration/fields.py": ("configuration/test_load.py", "values are tested in the file that they stand in"),
    "configuration/values.py": ("configuration/test_load.py", "values are tested in the file that they stand in"),
    "console/editor_schema.py": ("control/test_shipped.py", "tested against what is shipped"),
    "server/run.py": ("e2e/test_cli.py", "signals and exit codes need a process"),
    "server/proxy.py": ("e2e/test_cli.py", "every test that runs the proxy runs it"),
    "console/demo.py": ("e2e/test_demo.py", "needs real app servers"),
    "console/demo_apps.py": ("e2e/test_demo.py", "needs real app servers"),
}
"""Module to the test file that stands in for a mirror, and the reason."""
SECTIONS = "configuration/sections/"
"""Bad values of their keys are in test_bad_configs.py, what good ones become is in configuration/test_compile.py."""


def modules() -> set[str]:
    """All modules with code in them: packages that only hold a docstring and a table are tested with their parts."""
    found = {*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyx")}
    return {path.relative_to(PACKAGE).as_posix() for path in found if path.name != "__init__.py"}


def mirror(module: str) -> Path:
    path = Path(module)
    return TESTS / path.parent / f"test_{path.stem}.py"


def test_every_module_has_a_test_file() -> None:
    elsewhere = {*ELSEWHERE, *(module for module in modules() if module.startswith(SECTIONS))}
    missing = [module for module in sorted(modules()) if module not in elsewhere and not mirror(module).exists()]
    assert missing == [], "write the test file, or say in ELSEWHERE where the module is tested and why"


def test_the_exceptions_hold() -> None:
    known = modules()
    for module, (tested_in, reason) in ELSEWHERE.items():
        assert module in known, f"{module} is gone: take it out of ELSEWHERE"
        assert not mirror(module).exists(), f"{module} has a mirror: take it out of ELSEWHERE"
        assert (TESTS / tested_in).exists(), f"{module}: there is no {tested_in}"
        assert reason


def test_every_mirror_has_its_module() -> None:
    """A test file in a folder of the package's name tests a module there."""
    for folder in ("balancing", "sharding", "control", "limits", "upstream", "downstream", "server"):
        for path in (TESTS / folder).glob("test_*.py"):
            stem = path.stem.removeprefix("test_")
            known = any((PACKAGE / folder).glob(f"{stem}.py*")) or path.name in ("test_service.py", "test_shipped.py")
            assert known, f"{path.relative_to(ROOT)} mirrors nothing"
