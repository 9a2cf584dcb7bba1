"""The worker processes: started, assigned, watched, replaced.

Law of this file: a worker is a process of its own program (no fork: a process with threads and a running loop does not
fork well), known by its pid and its channel. One spare has started already and waits, so that a worker that dies is
replaced in milliseconds. A slot belongs to one worker at a time.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from time import monotonic, monotonic_ns
from typing import Any

from ..control.admin.contract import WorkerStatus
from ..errors import BindError
from ..scoreboard import Scoreboard
from .channel import Channel
from .messages import Assignment, Hello, Reply, Request, Sockets
from .places import Places
from .sockets import ListenerSockets

log = logging.getLogger("qantara")

START_WITHIN = 30.0
"""Seconds until a new process has to say hello."""
ANSWER_WITHIN = 60.0
"""Seconds that a worker has for a request, draining excepted."""
HUNG_AFTER = 10.0
"""Seconds without a sign of life after which a worker is replaced."""
YOUNG = 2.0
"""Seconds: a worker that dies sooner has probably died of its start."""
MOST_PAUSE = 5.0
"""Seconds between two starts of a worker that keeps dying."""


class Worker:
    """One process. Slot 0 is the spare's."""

    def __init__(self, process: subprocess.Popen[bytes], sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self.process = process
        self.slot = 0
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
        """Have something done. Raises BindError with the worker's words if it fails or dies over it."""
        self._last += 1
        future = self._waiting[self._last] = asyncio.get_running_loop().create_future()
        self.channel.send(Request(self._last, kind, payload))
        try:
            return await asyncio.wait_for(future, within)
        except TimeoutError:
            raise BindError(f"worker {self.slot} (pid {self.pid}) does not answer") from None

    def give(self, sockets: ListenerSockets, index: int, workers: int) -> None:
        """Send it the sockets that it is to serve."""
        for bind in sockets.binds:
            share = sockets.share(bind, index, workers)
            self.channel.send(Sockets(bind), [sock.fileno() for sock in share])

    def on_exit(self, code: int) -> None:
        """The process has ended."""
        self.state = "ended"
        self.channel.close()
        if not self.ended.done():
            self.ended.set_result(code)
        problem = BindError(f"worker {self.slot} (pid {self.pid}) ended with {told(code)}")
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
        self.spare: Worker | None = None
        self.restarts: dict[int, int] = {}
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
                    f"{__package__}.worker_process",
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

    async def ready_one(self) -> Worker:
        """A process that has said hello: the spare, or a new one."""
        worker, self.spare = self.spare, None
        worker = worker or self.start()
        try:
            await asyncio.wait_for(asyncio.shield(worker.hello), START_WITHIN)
        except TimeoutError:
            self.end(worker, signal.SIGKILL)
            raise BindError("a worker process does not start") from None
        return worker

    def keep_spare(self) -> None:
        """See to it that there is a spare."""
        if self.spare is None:
            self.spare = self.start()

    async def fill(self, slot: int, assignment: Assignment, sockets: ListenerSockets, workers: int) -> Worker:
        """Have a process serve in a slot. Raises BindError if it cannot."""
        worker = await self.ready_one()
        worker.slot = slot
        self.slots[slot] = worker
        worker.give(sockets, slot - 1, workers)
        try:
            await worker.ask("adopt", assignment._replace(slot=slot))
        except BindError:
            self.slots.pop(slot, None)
            self.end(worker, signal.SIGKILL)
            raise
        worker.state = "serving"
        worker.since = monotonic()
        return worker

    async def assign(self, assignment: Assignment, sockets: ListenerSockets, count: int, drain: float) -> None:
        """Give an assignment to `count` workers; start those that are missing, and let those go that are too many,
        within `drain` seconds. Raises BindError if one of them cannot; the others have then taken it up."""
        self.board.set_used(max(count, *self.slots, 1) + 1)
        jobs: list[Awaitable[object]] = []
        for slot in range(1, count + 1):
            worker = self.slots.get(slot)
            if worker is None:
                jobs.append(self.fill(slot, assignment, sockets, count))
            else:
                worker.give(sockets, slot - 1, count)
                jobs.append(worker.ask("adopt", assignment._replace(slot=slot)))
        results = await asyncio.gather(*jobs, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        leaving = [worker for slot, worker in self.slots.items() if slot > count]
        for worker in leaving:
            worker.state = "leaving"
            task = asyncio.get_running_loop().create_task(self._let_go(worker, drain))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
        if not leaving:
            self.board.set_used(count + 1)

    async def _let_go(self, worker: Worker, drain: float) -> None:
        """Drain one worker that is no longer wanted."""
        try:
            await worker.ask("drain", True, drain)
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
            if self.spare is worker:
                self.spare = None
            if self.slots.get(worker.slot) is worker:
                del self.slots[worker.slot]
                self.board.clear_in_flight(worker.slot)
                if not expected:
                    log.warning("worker %d (pid %d) ended with %s", worker.slot, pid, told(code))
                    self.on_death(worker)

    def status(self) -> list[WorkerStatus]:
        """All that have a slot."""
        return [
            WorkerStatus(slot, each.pid, each.state, monotonic() - each.since, self.restarts.get(slot, 0))
            for slot, each in sorted(self.slots.items())
        ]
