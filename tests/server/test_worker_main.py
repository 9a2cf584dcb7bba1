"""What a worker consists of: nothing that only the supervisor or a command needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from proxy.configuration.compile import compile_plan
from proxy.configuration.load import load_text

FOREIGN = ("pydantic", "ruamel", "rich", "aiohttp", "watchfiles", "dns", "opentelemetry", "redis")
LOADED = """
import sys
{code}
print("\\n".join(sys.modules))
"""
SERVED = """
upstreams:
  app: {balance: {algorithm: consistent_hash, key: 'header:x'}, backends: ['a:1', 'b:1'], sticky: {cookie: {}}}
listeners: [{bind: '127.0.0.1:0'}]
geo: {default: eu-west}
chaos: {enabled: true, audit: /dev/null}
shedding: {}
rate_limits: {few: {rate: 10/s}}
routes: [{upstream: app, rate_limits: [few], regex: '^/x'}]
"""


def loaded(code: str) -> list[str]:
    """The modules of a process that has run this."""
    command = [sys.executable, "-c", LOADED.format(code=code)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def unwanted(modules: list[str]) -> list[str]:
    folders = ("proxy.configuration", "proxy.console")
    return [name for name in modules if name.split(".")[0] in FOREIGN or name.startswith(folders)]


def test_a_worker_imports_nothing_of_the_configuration() -> None:
    modules = loaded("import proxy.server.worker_main")
    assert "proxy.pipeline" in modules
    assert unwanted(modules) == []


@pytest.mark.parametrize("more", ["", "tracing: {}\n"])
def test_a_plan_that_was_sent_links_without_it(more: str) -> None:
    import pickle

    plan = pickle.dumps(compile_plan(load_text(SERVED + more).config))
    code = f"import pickle\nfrom proxy.pipeline import link_plan\nlink_plan(pickle.loads({plan!r}))"
    assert unwanted(loaded(code)) == []
