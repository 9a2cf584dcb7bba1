"""The worker processes: started, assigned, watched, replaced.

Law of this file: a worker is a process of its own program (no fork: a process with threads and a running loop does not
fork well), known by its pid and its channel. One spare has started already and waits, so that a worker that dies is
replaced in milliseconds. A slot of the scoreboard belongs to one worker from its first plan until its process has
ended; an index (the share of the listening sockets, 0 .. workers - 1) is free as soon as its worker leaves. So one that
drains a long stream keeps its slot, and another serves its index from a slot of its own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from time import monotonic, monotonic_ns
from typing import Any

from ..control.admin.contract import WorkerStatus
from ..errors import BindError, WorkerLost
from ..scoreboard import Scoreboard
from .channel import Channel
from .messages import Assignment, Command, CommandResult, Drain, Hello, Sockets
from .runtime_paths import RuntimePaths
from .safe_path import python_module
from .sockets import ListenerSockets

log = logging.getLogger("qantara")

START_WITHIN = 30.0
"""Seconds until a new process has to say hello."""
ANSWER_WITHIN = 60.0
"""Seconds that a worker has for a request, draining excepted."""
HUNG_AFTER = 10.0
"""Seconds without a sign of life after which a worker is replaced."""


class WorkerHandle:
    """One process. Slot 0 is the spare's."""

    def __init__(self, process: subprocess.Popen[bytes], sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self.process = process
        self.slot = 0
        self.index = -1
        self.state = "starting"
        self.since = monotonic()
        self.hello: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[int] = loop.create_future()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._last = 0
        self.channel = Channel(sock, self._on_message, lambda: None)

    @property
    def pid(self) -> int:
        return self.process.pid

    async def ask(self, kind: str, payload: Any = None, within: float | None = ANSWER_WITHIN) -> Any:
        """Have something done. Raises BindError with the worker's words if it fails, WorkerLost if it dies over it."""
        self._last += 1
        future = self._waiting[self._last] = asyncio.get_running_loop().create_future()
        self.channel.send(Command(self._last, kind, payload))
        try:
            return await asyncio.wait_for(future, within)
        except TimeoutError:
            raise WorkerLost(f"worker {self.slot} (pid {self.pid}) does not answer") from None

    def give(self, sockets: ListenerSockets, workers: int) -> None:
        """Send it the sockets of its index."""
        for bind in sockets.binds:
            share = sockets.share(bind, self.index, workers)
            self.channel.send(Sockets(bind, bind in sockets.lent), [sock.fileno() for sock in share])

    def on_exit(self, code: int) -> None:
        """The process has ended."""
        self.state = "ended"
        self.channel.close()
        if not self.ended.done():
            self.ended.set_result(code)
        problem = WorkerLost(f"worker {self.slot} (pid {self.pid}) ended with {exit_words(code)}")
        for future in [self.hello, *self._waiting.values()]:
            if not future.done():
                future.set_exception(problem)
                future.exception()  # retrieved, in case it is not awaited any more

    def _on_message(self, message: Any, _: list[int]) -> None:
        if isinstance(message, Hello):
            if not self.hello.done():
                self.hello.set_result(None)
        elif isinstance(message, CommandResult):
            future = self._waiting.pop(message.id, None)
            if future is None or future.done():
                return
            if message.error:
                future.set_exception(BindError(message.error))
            else:
                future.set_result(message.payload)


def exit_words(code: int) -> str:
    """An exit status in words."""
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


class Workers:
    """All worker processes of one supervisor."""

    def __init__(
        self, board: Scoreboard, paths: RuntimePaths, config: str, on_death: Callable[[WorkerHandle], object]
    ) -> None:
        self.board = board
        self.paths = paths
        self.config = config
        self.on_death = on_death
        self.processes: dict[int, WorkerHandle] = {}
        self.slots: dict[int, WorkerHandle] = {}
        """The worker of each slot in use."""
        self.spares: list[WorkerHandle] = []
        """Processes that have started and have no slot yet."""
        self.restarts: dict[int, int] = {}
        """Workers that have died, by index."""
        self._leaving: set[asyncio.Task[None]] = set()
        self.strangers: dict[int, int] = {}
        """Exit codes of other children: a new version that was to take over, orphans of a container."""

    def start(self) -> WorkerHandle:
        """Start a process."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            arguments = [str(theirs.fileno()), str(self.board.fd), str(self.board.slots)]
            process = subprocess.Popen(
                python_module(f"{__package__}.worker_main", *arguments, str(self.paths.folder), self.config),
                pass_fds=(theirs.fileno(), self.board.fd),
            )
        worker = WorkerHandle(process, ours)
        self.processes[process.pid] = worker
        return worker

    async def succeed(self, command: list[str], within: float, done: Callable[[], bool]) -> int:
        """Start a process that is to take over from this one, and wait until `done`. Returns its pid.

        Raises BindError if it ends, or takes longer than `within` seconds.
        """
        process = subprocess.Popen(command, start_new_session=True)  # noqa: ASYNC220  # milliseconds, once in a while
        deadline = monotonic() + within
        while not done():
            await asyncio.sleep(0.05)
            if process.pid in self.strangers:
                code = self.strangers.pop(process.pid)
                raise BindError(f"the new process ended with exit code {code}; see its log")
            if monotonic() > deadline:
                process.kill()
                raise BindError(f"the new process did not take over within {within:g} s")
        return process.pid

    def serving(self) -> dict[int, WorkerHandle]:
        """The worker that serves, or is about to, for each index."""
        return {worker.index: worker for worker in self.slots.values() if worker.state != "leaving"}

    async def ready_one(self) -> WorkerHandle:
        """A process that has said hello: a spare, or a new one."""
        worker = self.spares.pop(0) if self.spares else self.start()
        try:
            await asyncio.wait_for(asyncio.shield(worker.hello), START_WITHIN)
        except TimeoutError:
            self.end(worker, signal.SIGKILL)
            raise WorkerLost("a worker process does not start") from None
        return worker

    def keep_spare(self) -> None:
        """Start a spare if there is none."""
        if not self.spares:
            self.add_spare()

    def add_spare(self) -> None:
        """Start one more: a dead worker takes one of those that wait."""
        self.spares.append(self.start())

    async def fill(self, index: int, assignment: Assignment, sockets: ListenerSockets, workers: int) -> WorkerHandle:
        """Have a process serve for an index. Raises BindError if it cannot, WorkerLost if it dies."""
        worker = await self.ready_one()
        try:
            worker.slot = self._free_slot(index + 1)
        except BindError:
            self.spares.append(worker)
            raise
        worker.index = index
        self.slots[worker.slot] = worker
        self._count_used()
        worker.give(sockets, workers)
        try:
            await worker.ask("adopt", assignment._replace(slot=worker.slot))
        except BindError:
            self.slots.pop(worker.slot, None)
            self.end(worker, signal.SIGKILL)
            raise
        worker.state = "serving"
        worker.since = monotonic()
        return worker

    def _free_slot(self, best: int) -> int:
        slots: tuple[int, ...] = best, *range(1, self.board.slots)
        for slot in slots:
            if slot not in self.slots:
                return slot
        raise BindError(f"all {self.board.slots - 1} slots are taken, by workers that still drain too")

    def _count_used(self) -> None:
        self.board.set_used(max(self.slots, default=1) + 1)

    async def assign(self, assignment: Assignment, sockets: ListenerSockets, count: int, drain: float) -> None:
        """Give an assignment to `count` workers; start those that are missing, and let those go that are too many,
        within `drain` seconds. Raises BindError if one of them cannot; the others have then taken it up."""
        jobs = (self._take_up(index, assignment, sockets, count) for index in range(count))
        results = await asyncio.gather(*jobs, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        for index, worker in self.serving().items():
            if index >= count:
                worker.state = "leaving"
                task = asyncio.get_running_loop().create_task(self._let_go(worker, drain))
                self._leaving.add(task)
                task.add_done_callback(self._leaving.discard)

    async def _take_up(self, index: int, assignment: Assignment, sockets: ListenerSockets, count: int) -> None:
        """Have an index served by this assignment. If its worker is lost meanwhile, another one gets it: if that dies
        too, the assignment is the cause."""
        try:
            worker = self.serving().get(index)
            if worker is None:
                await self.fill(index, assignment, sockets, count)
            else:
                worker.give(sockets, count)
                await worker.ask("adopt", assignment._replace(slot=worker.slot))
        except WorkerLost as problem:
            log.warning("%s, during a reload; another one takes its place", problem)
            if worker is not None and worker.state != "ended":
                worker.state = "leaving"
                self.end(worker, signal.SIGKILL)
            await self.fill(index, assignment, sockets, count)

    async def _let_go(self, worker: WorkerHandle, drain: float) -> None:
        """Drain one worker that is no longer wanted."""
        try:
            await worker.ask("drain", Drain(True, 0.0), drain)
        except BindError:
            self.end(worker, signal.SIGKILL)

    def end(self, worker: WorkerHandle, number: int) -> None:
        """Send a signal to a process that was started here."""
        if worker.pid in self.processes:
            os.kill(worker.pid, number)

    def end_hung(self) -> None:
        """End those that have given no sign of life for HUNG_AFTER."""
        for slot, worker in list(self.slots.items()):
            silent = (monotonic_ns() - self.board.last_beat(slot)) / 1e9
            if worker.state == "serving" and silent > HUNG_AFTER:
                log.error("worker %d (pid %d) hangs, for %.0f s; ending it", slot, worker.pid, silent)
                worker.state = "hung"
                self.end(worker, signal.SIGABRT)  # it says where it hangs
            elif worker.state == "hung":
                self.end(worker, signal.SIGKILL)

    def reap(self) -> None:
        """Wait for processes that have ended; as process 1 of a container, also for those not started here."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            worker = self.processes.pop(pid, None)
            code = os.waitstatus_to_exitcode(status)
            if worker is None:
                self.strangers[pid] = code
                continue
            worker.process.returncode = code  # Popen need not ask for it any more
            expected = worker.state == "leaving"
            worker.on_exit(code)
            if worker in self.spares:
                self.spares.remove(worker)
            if self.slots.get(worker.slot) is worker:
                del self.slots[worker.slot]
                self.board.clear_in_flight(worker.slot)
                self._count_used()
                if not expected:
                    self.restarts[worker.index] = self.restarts.get(worker.index, 0) + 1
                    log.warning("worker %d (pid %d) ended with %s", worker.slot, pid, exit_words(code))
                    self.on_death(worker)

    def status(self) -> list[WorkerStatus]:
        """All that have a slot."""
        return [
            WorkerStatus(slot, each.pid, each.state, monotonic() - each.since, self.restarts.get(each.index, 0))
            for slot, each in sorted(self.slots.items())
        ]
