"""The command line: qantara run | check | demo | schema.

Law of this file: it reads arguments and prints; what a command does is in control/ and server/.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from . import __version__
from .errors import ConfigError


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
    run.set_defaults(call=run_command)

    check = commands.add_parser("check", help="report everything that is wrong with a configuration")
    check.add_argument("config", metavar="FILE", help="the YAML file")
    check.set_defaults(call=check_command)

    demo = commands.add_parser("demo", help="start demo app servers and the proxy in front of them")
    demo.add_argument("--apps", action="store_true", help="in front of uvicorn, gunicorn and aiohttp instead")
    demo.set_defaults(call=demo_command)

    schema = commands.add_parser("schema", help="print the JSON Schema of the configuration, for editors")
    schema.set_defaults(call=schema_command)
    return parser


def run_command(arguments: argparse.Namespace) -> int:
    from .server.run import run

    return run(arguments.config)


def check_command(arguments: argparse.Namespace) -> int:
    from .control.compile import compile_plan
    from .control.load import load

    try:
        loaded = load(arguments.config)
        compile_plan(loaded.config, loaded.report)
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        count = len(error.problems)
        print(f"{arguments.config}: {count} error{'s' if count != 1 else ''}", file=sys.stderr)
        return 2
    for warning in loaded.warnings:
        print(f"{warning} (warning)", file=sys.stderr)
    config = loaded.config
    print(f"{arguments.config}: good ({len(config.routes)} routes, {len(config.upstreams)} upstreams)")
    return 0


def demo_command(arguments: argparse.Namespace) -> int:
    from .server.demo import run_demo

    return run_demo(apps=arguments.apps)


def schema_command(arguments: argparse.Namespace) -> int:
    import json

    from .control.editor_schema import editor_schema

    print(json.dumps(editor_schema(), indent=2))
    return 0
