"""The worker processes: started, assigned, watched, replaced.

Law of this file: a worker is a process of its own program (no fork: a process with threads and a running loop does not
fork well), known by its pid and its channel. One spare has started already and waits, so that a worker that dies is
replaced in milliseconds. A slot of the scoreboard belongs to one worker from its first plan until its process has
ended; a place (the share of the listening sockets, 0 .. workers - 1) is free as soon as its worker leaves. So one that
drains a long stream keeps its slot, and another serves in its place from a slot of its own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from time import monotonic, monotonic_ns
from typing import Any

from ..control.admin.contract import WorkerStatus
from ..errors import BindError, WorkerLost
from ..scoreboard import Scoreboard
from .channel import Channel
from .messages import Assignment, Drain, Hello, Reply, Request, Sockets
from .runtime_paths import Places
from .sockets import ListenerSockets

log = logging.getLogger("qantara")

START_WITHIN = 30.0
"""Seconds until a new process has to say hello."""
ANSWER_WITHIN = 60.0
"""Seconds that a worker has for a request, draining excepted."""
HUNG_AFTER = 10.0
"""Seconds without a sign of life after which a worker is replaced."""


class Worker:
    """One process. Slot 0 is the spare's."""

    def __init__(self, process: subprocess.Popen[bytes], sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self.process = process
        self.slot = 0
        self.place = -1
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
        self.channel.send(Request(self._last, kind, payload))
        try:
            return await asyncio.wait_for(future, within)
        except TimeoutError:
            raise WorkerLost(f"worker {self.slot} (pid {self.pid}) does not answer") from None

    def give(self, sockets: ListenerSockets, workers: int) -> None:
        """Send it the sockets that it is to serve in its place."""
        for bind in sockets.binds:
            share = sockets.share(bind, self.place, workers)
            self.channel.send(Sockets(bind, bind in sockets.lent), [sock.fileno() for sock in share])

    def on_exit(self, code: int) -> None:
        """The process has ended."""
        self.state = "ended"
        self.channel.close()
        if not self.ended.done():
            self.ended.set_result(code)
        problem = WorkerLost(f"worker {self.slot} (pid {self.pid}) ended with {told(code)}")
        for future in [self.hello, *self._waiting.values()]:
            if not future.done():
                future.set_exception(problem)
                future.exception()  # nobody may be waiting any more

    def _on_message(self, message: Any, _: list[int]) -> None:
        if isinstance(message, Hello):
            if not self.hello.done():
                self.hello.set_result(None)
        elif isinstance(message, Reply):
            future = self._waiting.pop(message.id, None)
            if future is None or future.done():
                return
            if message.error:
                future.set_exception(BindError(message.error))
            else:
                future.set_result(message.payload)


def told(code: int) -> str:
    """An exit status in words."""
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


class Workers:
    """All worker processes of one supervisor."""

    def __init__(self, board: Scoreboard, places: Places, config: str, on_death: Callable[[Worker], object]) -> None:
        self.board = board
        self.places = places
        self.config = config
        self.on_death = on_death
        self.processes: dict[int, Worker] = {}
        self.slots: dict[int, Worker] = {}
        """Who serves in which slot."""
        self.spares: list[Worker] = []
        """They have started, and wait."""
        self.restarts: dict[int, int] = {}
        """How many workers have died in each place."""
        self._leaving: set[asyncio.Task[None]] = set()
        self.strangers: dict[int, int] = {}
        """Exit codes of other children: a new version that was to take over, orphans of a container."""

    def start(self) -> Worker:
        """Start a process."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            arguments = [str(theirs.fileno()), str(self.board.fd), str(self.board.slots)]
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    f"{__package__}.worker_main",
                    *arguments,
                    str(self.places.folder),
                    self.config,
                ],
                pass_fds=(theirs.fileno(), self.board.fd),
            )
        worker = Worker(process, ours)
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

    def serving(self) -> dict[int, Worker]:
        """Who serves, or is about to, in which place."""
        return {worker.place: worker for worker in self.slots.values() if worker.state != "leaving"}

    async def ready_one(self) -> Worker:
        """A process that has said hello: a spare, or a new one."""
        worker = self.spares.pop(0) if self.spares else self.start()
        try:
            await asyncio.wait_for(asyncio.shield(worker.hello), START_WITHIN)
        except TimeoutError:
            self.end(worker, signal.SIGKILL)
            raise WorkerLost("a worker process does not start") from None
        return worker

    def keep_spare(self) -> None:
        """See to it that there is a spare."""
        if not self.spares:
            self.add_spare()

    def add_spare(self) -> None:
        """Start one more: somebody has died, who will be replaced by one of those that wait."""
        self.spares.append(self.start())

    async def fill(self, place: int, assignment: Assignment, sockets: ListenerSockets, workers: int) -> Worker:
        """Have a process serve in a place. Raises BindError if it cannot, WorkerLost if it dies."""
        worker = await self.ready_one()
        try:
            worker.slot = self._free_slot(place + 1)
        except BindError:
            self.spares.append(worker)
            raise
        worker.place = place
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
        jobs = (self._take_up(place, assignment, sockets, count) for place in range(count))
        results = await asyncio.gather(*jobs, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        for place, worker in self.serving().items():
            if place >= count:
                worker.state = "leaving"
                task = asyncio.get_running_loop().create_task(self._let_go(worker, drain))
                self._leaving.add(task)
                task.add_done_callback(self._leaving.discard)

    async def _take_up(self, place: int, assignment: Assignment, sockets: ListenerSockets, count: int) -> None:
        """Have a place served by this assignment. If a worker is lost just now, another one is asked: what kills that
        one, too, is the assignment."""
        try:
            worker = self.serving().get(place)
            if worker is None:
                await self.fill(place, assignment, sockets, count)
            else:
                worker.give(sockets, count)
                await worker.ask("adopt", assignment._replace(slot=worker.slot))
        except WorkerLost as problem:
            log.warning("%s, during a reload; another one takes its place", problem)
            if worker is not None and worker.state != "ended":
                worker.state = "leaving"
                self.end(worker, signal.SIGKILL)
            await self.fill(place, assignment, sockets, count)

    async def _let_go(self, worker: Worker, drain: float) -> None:
        """Drain one worker that is no longer wanted."""
        try:
            await worker.ask("drain", Drain(True, 0.0), drain)
        except BindError:
            self.end(worker, signal.SIGKILL)

    def end(self, worker: Worker, number: int) -> None:
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
        """Take leave of the processes that have ended. As process 1 of a container, of strangers' too."""
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
                    self.restarts[worker.place] = self.restarts.get(worker.place, 0) + 1
                    log.warning("worker %d (pid %d) ended with %s", worker.slot, pid, told(code))
                    self.on_death(worker)

    def status(self) -> list[WorkerStatus]:
        """All that have a slot."""
        return [
            WorkerStatus(slot, each.pid, each.state, monotonic() - each.since, self.restarts.get(each.place, 0))
            for slot, each in sorted(self.slots.items())
        ]
