"""A worker as a process, started by the supervisor: `worker_main CHANNEL BOARD SLOTS RUN_DIR CONFIG`.

Law of this file: commands come through the channel, are done one at a time, and are answered. If the supervisor is
gone, the worker goes on serving its assignment, and gives its sockets to the process that takes over.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import pickle
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic
from typing import Any

import uvloop

from .. import scoreboard
from ..balancing.python_path import use_folders
from ..deadlines import Sweep
from ..errors import QantaraError
from ..features.chaos import Injector, Rule, Tally
from ..http1.codec import seed_ids
from ..limits.threads import run_in_thread
from ..pipeline import link_plan
from ..plan import Plan, PlanSpec
from ..runtime import Registry
from ..telemetry.top_talkers import Count
from ..upstream.load.sources import last_reports
from .channel import Channel
from .logs import configure_logging, rename
from .messages import Assignment, Command, CommandResult, Drain, Hello, Sockets
from .proxy import Proxy, settle_memory
from .runtime_paths import RuntimePaths
from .takeover import Handover

log = logging.getLogger("qantara")

LINKED_WITHIN = 45.0
"""Seconds that a plan may take to be linked."""


class WorkerMain:
    """The process: a proxy once it has a slot, and the commands of the supervisor."""

    def __init__(self, channel_fd: int, board: scoreboard.Scoreboard, paths: RuntimePaths) -> None:
        self.board = board
        self.paths = paths
        self.proxy: Proxy | None = None
        self.sockets: dict[str, list[socket.socket]] = {}
        """What came for the next assignment."""
        self.lent: set[str] = set()
        """The binds of sockets that belong to a service manager."""
        self.ended = asyncio.Event()
        self.clean = True
        self.handover: Handover | None = None
        self.assignment: Assignment | None = None
        """What is served."""
        self.rules: tuple[Rule, ...] = ()
        self.injector = Injector()
        """The chaos rules that are followed."""
        self._requests: asyncio.Queue[Command] = asyncio.Queue()
        self._serving: dict[str, list[socket.socket]] = {}
        self.channel = Channel(socket.socket(fileno=channel_fd), self._on_message, self._on_orphaned)

    async def run(self) -> int:
        """Serve until drained or stopped. Returns the exit code: 0, or 1 if requests were cut off."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._requests.put_nowait, Command(0, "drain"))
        loop.add_signal_handler(signal.SIGINT, lambda: None)  # of the terminal: the supervisor decides
        self.channel.send(Hello(os.getpid()))
        worker = loop.create_task(self._work())
        await self.ended.wait()
        worker.cancel()
        if self.proxy is not None:
            await self.proxy.close()
        if self.handover is not None:
            self.handover.close()
        return 0 if self.clean else 1

    # --- the channel ---

    def _on_message(self, message: Any, fds: list[int]) -> None:
        if isinstance(message, Sockets):
            if message.lent:
                self.lent.add(message.bind)
            self.sockets[message.bind] = [socket.socket(fileno=fd) for fd in fds]
        elif message.kind in ("stop", "drain"):  # at once, also during another command
            asyncio.get_running_loop().create_task(self._handle(message))
        else:
            self._requests.put_nowait(message)

    def _on_orphaned(self) -> None:
        """The supervisor is gone: serve on, and be found by the next one."""
        if self.proxy is None:
            self.ended.set()
            return
        log.warning("the supervisor is gone; serving on until another one takes over")
        socket_path = self.paths.takeover(os.getpid())
        self.handover = Handover(socket_path, "worker", lambda: self._serving, lambda: self.lent, self._leave)

    def _leave(self, taken_over: bool) -> None:
        self._requests.put_nowait(Command(0, "drain", Drain(True, 0.0) if taken_over else None))

    async def _work(self) -> None:
        while True:
            await self._handle(await self._requests.get())

    async def _handle(self, request: Command) -> None:
        error, payload = "", None
        handlers: dict[str, Callable[[Any], Awaitable[Any]]] = {
            "adopt": self.adopt,
            "members": self.members,
            "drain": self.drain,
            "stop": self.stop,
            "reopen": self.reopen,
            "log_level": self.log_level,
            "chaos": self.chaos,
            "tallies": self.tallies,
            "talkers": self.talkers,
            "balancing": self.balancing,
            "reports": self.reports,
        }
        try:
            payload = await handlers[request.kind](request.payload)
        except QantaraError as problem:
            error = str(problem)
        except OSError as problem:  # the access log
            error = f"cannot open {problem.filename}: {problem.strerror}"
        except Exception as problem:
            log.exception("a defect of the proxy, in %s", request.kind)
            error = repr(problem)
        self.channel.send(CommandResult(request.id, error, payload))

    # --- what is asked for ---

    async def adopt(self, assignment: Assignment) -> None:
        """Serve this from now on. A reload is linked beside the loop, which goes on serving."""
        sockets, self.sockets = self.sockets, {}
        if assignment.slot == 0:
            return
        self.board.slot = assignment.slot
        self.board.backends.replace(assignment.backend_rows)
        self.board.upstreams.replace(assignment.upstream_rows)
        self.board.refresh()
        before = self.injector
        if assignment.rules != self.rules:
            self.injector = Injector(assignment.rules, assignment.slot)
        try:
            await self._serve(assignment, sockets)
        except BaseException:
            self.injector = before
            raise
        self.rules, self.assignment = assignment.rules, assignment
        if before is not self.injector:
            before.stop()

    async def _serve(self, assignment: Assignment, sockets: dict[str, list[socket.socket]] | None) -> None:
        registry = self.proxy.registry if self.proxy is not None else Registry(self.board, Sweep())
        if self.proxy is None:
            # Not in a thread: no request waits yet, and a thread, even an idle one, makes each read and write of this
            # process dearer, since the kernel counts the references to shared files: a twelfth of a request.
            plan = self._link(assignment, registry)
            rename(f"worker {assignment.slot}")
            seed_ids()
            proxy = Proxy(plan)
            await proxy.start(sockets)
            self.proxy = proxy
            settle_memory()
        else:
            try:
                plan = await run_in_thread(LINKED_WITHIN, self._link, assignment, registry)
            except TimeoutError:  # an OSError, which would be reported as one of the access log
                raise QantaraError(f"the plan was not linked within {LINKED_WITHIN:g} s") from None
            await self.proxy.adopt(plan, sockets)
        self._serving = self.proxy.sockets()

    def _link(self, assignment: Assignment, registry: Registry) -> Plan:
        spec: PlanSpec = pickle.loads(assignment.plan)
        use_folders(spec.python_path)
        return link_plan(spec.with_members(assignment.members), registry, self.injector)

    async def chaos(self, rules: tuple[Rule, ...]) -> None:
        """Follow these chaos rules and no others; what older ones hold back is let go."""
        if self.assignment is None:
            return
        before, self.injector = self.injector, Injector(rules, self.assignment.slot)
        try:
            await self._serve(self.assignment, None)
        except BaseException:
            self.injector = before
            raise
        self.rules = rules
        before.stop()

    async def tallies(self, _: Any) -> dict[str, Tally]:
        """How often each chaos rule has struck here."""
        return self.injector.tallies()

    async def talkers(self, dimension: str) -> dict[str, Count]:
        """The names of a dimension with the most requests."""
        return self.proxy.talkers.sketches[dimension] if self.proxy is not None else {}

    async def balancing(self, upstream: str) -> dict[str, Any] | None:
        """What the algorithm of an upstream knows here."""
        proxy, assignment = self.proxy, self.assignment
        if proxy is None or assignment is None or upstream not in proxy.registry.groups:
            return None
        group = proxy.registry.groups[upstream]
        asked, failed = group.spec.balance.algorithm, group.spare is None
        return {"worker": assignment.slot, "algorithm": asked, "failed": failed, **group.explain()}

    async def reports(self, _: Any) -> dict[tuple[str, str], dict[str, Any]]:
        """What backends have said last of their load."""
        return last_reports(self.proxy.registry.groups.values(), monotonic()) if self.proxy is not None else {}

    async def members(self, members: dict[str, Any]) -> None:
        """The backends of some upstreams have changed."""
        proxy = self.proxy
        if proxy is not None:
            self.board.backends.rows.update(members["rows"])
            if self.assignment is not None:
                now = {**self.assignment.members, **members["backends"]}
                self.assignment = self.assignment._replace(members=now)
            for name, backends in members["backends"].items():
                if name in proxy.registry.groups:
                    proxy.registry.set_members(name, backends)

    async def drain(self, how: Drain | None) -> bool:
        """Finish what is in flight, and end."""
        try:
            if self.proxy is not None:
                how = how or Drain(False, self.proxy.plan.settings.accept_grace)
                self.clean = await self.proxy.drain(how.patient, how.grace)
        finally:
            self.ended.set()
        return self.clean

    async def stop(self, _: Any) -> None:
        """End at once."""
        if self.proxy is not None and self.proxy.acceptor is not None:
            self.clean = not self.proxy.acceptor.open
        self.ended.set()

    async def reopen(self, _: Any) -> None:
        """Open the access log anew."""
        if self.proxy is not None and self.proxy.log is not None:
            self.proxy.log.reopen()

    async def log_level(self, level: str) -> None:
        """Log from this level on."""
        logging.getLogger().setLevel(level)


async def main(channel: int, board: int, slots: int, folder: str, config: str) -> int:
    process = WorkerMain(channel, scoreboard.attach(board, slots, 0), RuntimePaths(Path(folder), config))
    return await process.run()


if __name__ == "__main__":
    configure_logging("spare worker")
    faulthandler.enable()  # a worker that hangs is ended with SIGABRT, and says where it hung
    numbers = [int(text) for text in sys.argv[1:4]]
    sys.exit(uvloop.run(main(numbers[0], numbers[1], numbers[2], sys.argv[4], sys.argv[5])))
