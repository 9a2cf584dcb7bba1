"""The command line: qantara run | check | diff | explain | top | reload | upgrade | stop | status | policy | demo |
schema.

Law of this file: it reads arguments and prints; what a command does is in control/ and server/.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import __version__
from .errors import ConfigError, NobodyServes, QantaraError

if TYPE_CHECKING:
    from .server.runtime_paths import RuntimePaths

ASKED = {
    "reload": "have a running proxy load its configuration again; waits, and tells what was wrong",
    "upgrade": "replace a running proxy by the version that is installed now, without refusing a connection",
    "stop": "drain a running proxy",
    "status": "what a running proxy consists of",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit code: 0 done, 1 failed, 2 the configuration or the arguments are wrong."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        return 2
    code: int = arguments.call(arguments)
    return code


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="qantara", description="The load balancer you program in Python, as fast as the ones written in C."
    )
    parser.add_argument("--version", action="version", version=f"qantara {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    run = commands.add_parser("run", help="serve a configuration in the foreground")
    run.add_argument("-c", "--config", required=True, metavar="FILE", help="the YAML file")
    run.add_argument("--replace", action="store_true", help="take over from a proxy that serves this file already")
    add_run_dir(run)
    run.set_defaults(call=run_command)

    for name, told in ASKED.items():
        command = commands.add_parser(name, help=told)
        command.add_argument("-c", "--config", required=True, metavar="FILE", help="the YAML file that it serves")
        add_run_dir(command)
        command.set_defaults(call=ask_command)

    check = commands.add_parser("check", help="report everything that is wrong with a configuration")
    check.add_argument("config", metavar="FILE", help="the YAML file")
    check.set_defaults(call=check_command)

    diff = commands.add_parser("diff", help="show what a reload would change")
    diff.add_argument("old", metavar="FILE", help="the YAML file that a running proxy serves, or the old one of two")
    diff.add_argument("new", metavar="NEW", nargs="?", help="the YAML file as it would be; without it, what is running")
    add_run_dir(diff)
    diff.set_defaults(call=diff_command)

    explain = commands.add_parser("explain", help="tell what would happen to a request, and why, without sending it")
    explain.add_argument("method", metavar="METHOD")
    explain.add_argument("url", metavar="URL", help="a URL, or a path")
    explain.add_argument("-H", "--header", metavar="'NAME: VALUE'", action="append", default=[], dest="headers")
    explain.add_argument("-c", "--config", required=True, metavar="FILE", help="the YAML file that a proxy serves")
    explain.add_argument("--client", metavar="ADDRESS", default="127.0.0.1", help="who asks (default: 127.0.0.1)")
    explain.add_argument("--offline", action="store_true", help="go by the file, without asking a running proxy")
    explain.add_argument("--json", action="store_true", help="as JSON")
    add_run_dir(explain)
    explain.set_defaults(call=explain_command)

    top = commands.add_parser("top", help="what a running proxy is doing, live in the terminal")
    top.add_argument("-c", "--config", required=True, metavar="FILE", help="the YAML file that it serves")
    top.add_argument("--interval", type=float, default=2.0, metavar="SECONDS", help="between two looks (default: 2)")
    top.add_argument("--once", action="store_true", help="look once and print it")
    add_run_dir(top)
    top.set_defaults(call=top_command)

    policy = commands.add_parser("policy", help="begin a balancing algorithm of your own")
    add_policy_actions(policy)

    demo = commands.add_parser("demo", help="start demo app servers and the proxy in front of them")
    demo.add_argument("--apps", action="store_true", help="in front of uvicorn, gunicorn and aiohttp instead")
    demo.set_defaults(call=demo_command)

    schema = commands.add_parser("schema", help="print the JSON Schema of the configuration, for editors")
    schema.set_defaults(call=schema_command)
    return parser


def add_policy_actions(policy: argparse.ArgumentParser) -> None:
    actions = policy.add_subparsers(dest="action", metavar="ACTION", required=True)
    new = actions.add_parser("new", help="write an algorithm that works, with comments, and its test")
    new.add_argument("name", metavar="NAME", help="such as least_loaded, least-loaded or LeastLoaded")
    new.add_argument(
        "--folder", default=".", metavar="DIR", help="where to; it is made if it is not there (default: here)"
    )
    new.set_defaults(call=new_policy_command)


def add_run_dir(command: argparse.ArgumentParser) -> None:
    places = "$QANTARA_RUN_DIR, $RUNTIME_DIRECTORY, $XDG_RUNTIME_DIR/qantara or /tmp/qantara-UID"
    command.add_argument("--run-dir", metavar="FOLDER", help=f"where its control socket is (default: {places})")


def run_command(arguments: argparse.Namespace) -> int:
    from .server.run import run

    return run(arguments.config, arguments.run_dir, arguments.replace)


def ask_command(arguments: argparse.Namespace) -> int:
    """reload, upgrade, stop, status: send a request to the proxy that serves the file, and print its response."""
    from .console.admin_client import ask

    name: str = arguments.command
    try:
        paths = paths_of(arguments, arguments.config)
        try:
            status, told = ask(paths.control, "GET" if name == "status" else "POST", f"/{name}")
        except NobodyServes as nobody:
            return report_orphans(paths, name, nobody)
    except QantaraError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for warning in told.get("warnings", ()):
        print(f"{warning} (warning)", file=sys.stderr)
    for problem in told.get("problems", ()):
        print(problem, file=sys.stderr)
    if status >= 400:
        print(f"{name}: refused; what was served before is served on", file=sys.stderr)
        return 2 if status == 422 else 1
    print_answer(name, told)
    return 0


def report_orphans(paths: RuntimePaths, name: str, nobody: QantaraError) -> int:
    """Print the workers that serve on after their supervisor has died. `stop` works without it, the rest does not."""
    from .server.orphans import orphans

    found = orphans(paths, leave=name == "stop")
    if not found:
        raise nobody
    if name == "stop":
        print(f"the supervisor is gone; draining {len(found)} processes that served on")
        return 0
    print(f"error: the supervisor is gone; {name} needs it. Start it again, and it takes over:", file=sys.stderr)
    for orphan in found:
        print(f"{orphan.role:<11} pid {orphan.pid}  serves on", file=sys.stderr)
    return 1


def paths_of(arguments: argparse.Namespace, config: str) -> RuntimePaths:
    """The sockets of the proxy that serves a file."""
    from .server.runtime_paths import RuntimePaths, run_dir

    return RuntimePaths(run_dir(arguments.run_dir, asking=True), config)


def print_answer(name: str, told: dict[str, Any]) -> None:
    if name == "reload":
        print(f"reloaded in {told['seconds'] * 1e3:.0f} ms")
    elif name == "upgrade":
        print(f"process {told['pid']} has taken over")
    elif name == "stop":
        print("draining")
    else:
        print(f"supervisor  pid {told['pid']}  {told['config']}")
        for worker in told["workers"]:
            line = "worker {slot:<4} pid {pid}  {state} for {seconds:.0f} s, restarts: {restarts}"
            print(line.format(**worker))


def check_command(arguments: argparse.Namespace) -> int:
    from .configuration.compile import compile_plan
    from .configuration.former_hooks import former_hook_findings
    from .configuration.load import load

    logging.getLogger("qantara.balancing").addHandler(logging.NullHandler())  # printed below, with its place
    try:
        loaded = load(arguments.config)
        compile_plan(loaded.config, loaded.report)
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        count = len(error.problems)
        print(f"{arguments.config}: {count} error{'s' if count != 1 else ''}", file=sys.stderr)
        return 2
    for warning in (*loaded.warnings, *loaded.report(former_hook_findings(loaded.config))):
        print(f"{warning} (warning)", file=sys.stderr)
    config = loaded.config
    print(f"{arguments.config}: good ({len(config.routes)} routes, {len(config.upstreams)} upstreams)")
    return 0


def diff_command(arguments: argparse.Namespace) -> int:
    from .console.diff_view import show_diff, show_running_diff

    if arguments.new is not None:
        return show_diff(arguments.old, arguments.new)
    try:
        return show_running_diff(paths_of(arguments, arguments.old).control)
    except QantaraError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def explain_command(arguments: argparse.Namespace) -> int:
    from .console.explain_view import ask_or_explain, show_explanation

    headers = [tuple(map(str.strip, header.split(":", 1))) for header in arguments.headers]
    if any(len(header) != 2 for header in headers):
        print("error: a header is written 'NAME: VALUE'", file=sys.stderr)
        return 2
    question = {
        "method": arguments.method,
        "url": arguments.url,
        "headers": headers,
        "client": arguments.client,
    }
    try:
        control = None if arguments.offline else paths_of(arguments, arguments.config).control
        told = ask_or_explain(control, arguments.config, question)
    except (QantaraError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return show_explanation(told, arguments.json)


def top_command(arguments: argparse.Namespace) -> int:
    from .console.admin_client import ask
    from .console.top_view import run_top

    if not 0.1 <= arguments.interval <= 3600:
        print("error: --interval must be from 0.1 to 3600", file=sys.stderr)
        return 2
    try:
        control = paths_of(arguments, arguments.config).control
    except QantaraError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return run_top(lambda path: ask(control, "GET", path), arguments.interval, arguments.once)


def new_policy_command(arguments: argparse.Namespace) -> int:
    from pathlib import Path

    from .console.policy.new import next_steps, write_policy

    try:
        written = write_policy(arguments.name, Path(arguments.folder))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    print(next_steps(written), end="")
    return 0


def demo_command(arguments: argparse.Namespace) -> int:
    from .console.demo import run_demo

    return run_demo(apps=arguments.apps)


def schema_command(arguments: argparse.Namespace) -> int:
    import json

    from .console.editor_schema import editor_schema

    print(json.dumps(editor_schema(), indent=2))
    return 0
