"""The supervisor: it takes no traffic, and sees to it that workers do.

Law of this file: what it does to the configuration that is served happens in `_serve_config`, all or nothing.
Everything that it opens it closes in `run`. It may die at any moment without a request noticing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Iterable
from time import monotonic, monotonic_ns

from .. import scoreboard
from ..control.monitor import Monitor
from ..control.reload import Checked, ReloadResult, check, problems_of
from ..control.sweep import Sweeper
from ..control.watch import changes
from ..downstream.listener import address_of, written
from ..errors import BindError, QantaraError
from ..upstream.backend import BackendSpec
from ..upstream.group import GroupSpec
from . import notify
from .control_server import ControlServer
from .messages import Assignment
from .places import Places
from .sockets import ListenerSockets
from .takeover import Handover, find
from .workers import MOST_PAUSE, YOUNG, Worker, Workers

log = logging.getLogger("qantara")

MOST_WORKERS = 64
"""Workers that a reload may ask for, unless it was started with more."""
HUNG_AFTER = 10.0
"""Seconds without a sign of life after which a worker is replaced."""
GRACE = 5.0
"""Seconds that workers have beyond `timeouts.drain`."""
UPGRADE_WITHIN = 60.0
"""Seconds that a new process has to take over."""


def worker_count(checked: Checked) -> int:
    """How many workers a configuration asks for."""
    workers = checked.config.workers
    return len(os.sched_getaffinity(0)) if workers == "auto" else workers


class Supervisor:
    """One running proxy, of as many processes as its configuration says."""

    def __init__(self, path: str, checked: Checked, places: Places, replace: bool) -> None:
        self.path = path
        self.places = places
        self.replace = replace
        """Whether a proxy that serves this configuration already is to be replaced."""
        self.checked = checked
        self.workers_wanted = worker_count(checked)
        self.board = scoreboard.create(1 + max(MOST_WORKERS, self.workers_wanted))
        self.sockets = ListenerSockets()
        self.workers = Workers(self.board, places, path, self._on_death)
        self.members: dict[str, tuple[BackendSpec, ...]] = {}
        self.sweeper = Sweeper(self.board)
        self.monitor = Monitor(self.board)
        self.last_reload = ReloadResult(time.time(), True, 0.0)
        self.stopping = asyncio.Event()
        self.hurry = asyncio.Event()
        self.handed_over = False
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._reload_wanted = asyncio.Event()

    async def run(self) -> int:
        """Serve until told to stop. Returns the exit code. Raises BindError if it cannot start."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self.workers.reap)
        self._handle_signals(loop)
        control = ControlServer(self)
        handover: Handover | None = None
        try:
            await self._start()
            handover = Handover(
                self.places.takeover(os.getpid()), "supervisor", lambda: self.sockets.binds, self._hand_over
            )
            await control.start(self.places.control)
            await self.monitor.adopt(self.specs())
            self._announce()
            await self.stopping.wait()
            return await self._drain()
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self.monitor.close()
            await control.close()
            if handover is not None:
                handover.close()
            await self._end_all()
            if not self.handed_over:
                self.sockets.unlink()
            self.sockets.close()

    # --- start ---

    async def _start(self) -> None:
        predecessors = find(self.places.takeovers())
        for each in predecessors:
            await each.ask()
            if each.role == "supervisor" and not self.replace:
                raise BindError(
                    f"process {each.pid} serves this configuration already; replace it with: qantara upgrade"
                )
            self.sockets.inherited += each.sockets
        self.sockets.inherited += notify.inherited_sockets()
        self.sockets.open(self.checked.plan.listeners, self.workers_wanted)
        assignment = self._assignment(self.checked)
        self.board.set_used(self.workers_wanted + 1)
        slots = range(1, self.workers_wanted + 1)
        await asyncio.gather(*(self._fill(slot, assignment) for slot in slots))
        for each in predecessors:
            each.leave()
            log.info("took over from process %d (%s)", each.pid, each.role)
        self.workers.keep_spare()

    async def _fill(self, slot: int, assignment: Assignment) -> None:
        await self.workers.fill(slot, assignment, self.sockets, self.workers_wanted)

    def _announce(self) -> None:
        for spec in self.checked.plan.listeners:
            log.info("listening on %s", written(address_of(self.sockets.binds[spec.bind][0])))
        log.info("%d %s", self.workers_wanted, "workers" if self.workers_wanted > 1 else "worker")
        self._spawn(self._look_after())
        self._spawn(self._reload_when_wanted())
        if self.checked.config.watch:
            self._spawn(self._watch())
        notify.notify("READY=1", f"MAINPID={os.getpid()}", f"STATUS=serving with {self.workers_wanted} workers")

    def _spawn(self, coroutine: object) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _handle_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload_wanted.set)
        loop.add_signal_handler(signal.SIGUSR1, lambda: self._spawn(self.reopen_logs()))
        loop.add_signal_handler(signal.SIGUSR2, lambda: self._spawn(self._upgrade_logged()))

    def _assignment(self, checked: Checked) -> Assignment:
        """What the workers are told. Gives every backend its rows of the board."""
        for spec in checked.plan.specs.values():
            self.board.upstreams.row(spec.name)
            for backend in self.members.get(spec.name, spec.backends):
                self.board.backends.row(f"{spec.name}\n{backend.address}")
        return Assignment(
            0, checked.config, self.members, dict(self.board.backends.rows), dict(self.board.upstreams.rows)
        )

    def specs(self) -> dict[str, GroupSpec]:
        """What is served: every upstream with the backends that it has now."""
        return {
            name: spec._replace(backends=self.members.get(name, spec.backends))
            for name, spec in self.checked.plan.specs.items()
        }

    # --- reload ---

    async def reload(self) -> ReloadResult:
        """Load the file again and serve what stands in it. What is wrong changes nothing, and is in the result."""
        async with self._lock:
            notify.reloading()
            began = monotonic()
            warnings: tuple[str, ...] = ()
            problems: tuple[str, ...] = ()
            try:
                checked = await asyncio.to_thread(check, self.path)
                warnings = tuple(map(str, checked.warnings))
                await self._serve_config(checked)
                await self.monitor.adopt(self.specs())
            except QantaraError as error:
                problems = problems_of(error)
            result = ReloadResult(time.time(), not problems, monotonic() - began, problems, warnings)
            self._tell(result)
            self.last_reload = result
            notify.notify("READY=1")
            return result

    def _tell(self, result: ReloadResult) -> None:
        for problem in result.problems:
            log.error("reload refused: %s", problem)
        if result.ok:
            log.info("reloaded in %.0f ms", result.seconds * 1e3)

    async def _serve_config(self, checked: Checked) -> None:
        """Have every worker serve this, or all of them what they served before."""
        count = worker_count(checked)
        if count >= self.board.slots:
            raise BindError(f"workers: {count} are more than {self.board.slots - 1}; upgrade or restart for so many")
        before, old_count = self.checked, self.workers_wanted
        opened = self.sockets.open(checked.plan.listeners, max(count, old_count))
        try:
            assignment = self._assignment(checked)
            await self._assign(assignment, count)
        except (BindError, ValueError, QantaraError):
            await self._assign(self._assignment(before), old_count, quietly=True)
            self.sockets.give_back(opened)
            raise
        self.checked, self.workers_wanted = checked, count
        self.sockets.keep_only(spec.bind for spec in checked.plan.listeners)

    async def _assign(self, assignment: Assignment, count: int, quietly: bool = False) -> None:
        """Give an assignment to all workers; start those that are missing, and let those go that are too many."""
        self.board.set_used(max(count, *self.workers.slots, 1) + 1)
        jobs: list[Awaitable[object]] = []
        for slot in range(1, count + 1):
            worker = self.workers.slots.get(slot)
            if worker is None:
                jobs.append(self.workers.fill(slot, assignment, self.sockets, count))
            else:
                worker.give(self.sockets, slot - 1, count)
                jobs.append(worker.ask("adopt", assignment._replace(slot=slot)))
        results = await asyncio.gather(*jobs, return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        if failures and not quietly:
            raise failures[0]
        leaving = [worker for slot, worker in self.workers.slots.items() if slot > count]
        for worker in leaving:
            worker.state = "leaving"
            self._spawn(self._let_go(worker))
        if not leaving:
            self.board.set_used(count + 1)

    async def _let_go(self, worker: Worker) -> None:
        """Drain one worker that is no longer wanted."""
        settings = self.checked.plan.settings
        try:
            await worker.ask("drain", True, settings.accept_grace + settings.drain + GRACE)
        except BindError:
            self.workers.end(worker, signal.SIGKILL)

    async def _reload_when_wanted(self) -> None:
        while True:
            await self._reload_wanted.wait()
            self._reload_wanted.clear()  # what comes from here on is one more reload, however often it comes
            await self.reload()

    async def _watch(self) -> None:
        async for _ in changes(self.path):
            log.info("%s has changed", self.path)
            self._reload_wanted.set()

    # --- workers ---

    def _on_death(self, worker: Worker) -> None:
        if not self.stopping.is_set():
            self._spawn(self._replace(worker.slot, monotonic() - worker.since))

    async def _replace(self, slot: int, lived: float) -> None:
        """Fill a slot anew; a worker that keeps dying is started ever more slowly."""
        pause = 0.0
        while not self.stopping.is_set() and slot <= self.workers_wanted and slot not in self.workers.slots:
            if lived < YOUNG:
                pause = min(MOST_PAUSE, 2 * pause or 0.1)
                await asyncio.sleep(pause)
            try:
                async with self._lock:
                    if slot in self.workers.slots:
                        return
                    await self._fill(slot, self._assignment(self.checked))
                self.workers.restarts[slot] = self.workers.restarts.get(slot, 0) + 1
                log.info("worker %d is replaced (pid %d)", slot, self.workers.slots[slot].pid)
            except BindError as error:
                log.error("worker %d cannot be replaced: %s", slot, error)
                lived = 0.0
            self.workers.keep_spare()

    async def _look_after(self) -> None:
        """Once per second: end workers that hang, tell the service manager that all is well."""
        watchdog = notify.watchdog_seconds()
        while True:
            await asyncio.sleep(min(1.0, watchdog or 1.0))
            self.workers.keep_spare()
            self.sweeper.look(self.specs(), monotonic())
            if watchdog:
                notify.notify("WATCHDOG=1")
            for slot, worker in list(self.workers.slots.items()):
                silent = (monotonic_ns() - self.board.last_beat(slot)) / 1e9
                if worker.state == "serving" and silent > HUNG_AFTER:
                    log.error("worker %d (pid %d) hangs, for %.0f s; ending it", slot, worker.pid, silent)
                    worker.state = "hung"
                    self.workers.end(worker, signal.SIGABRT)  # it says where it hangs
                elif worker.state == "hung":
                    self.workers.end(worker, signal.SIGKILL)

    async def reopen_logs(self) -> None:
        """Have all workers open their access logs anew."""
        await self.ask_all("reopen")

    async def ask_all(self, kind: str, payload: object = None) -> list[object]:
        """Ask every worker that serves; those that cannot answer are left out."""
        workers = [worker for worker in self.workers.slots.values() if worker.state == "serving"]
        answers = await asyncio.gather(*(worker.ask(kind, payload) for worker in workers), return_exceptions=True)
        return [answer for answer in answers if not isinstance(answer, BaseException)]

    # --- stop ---

    def stop(self) -> None:
        """Drain and end; called once more, end at once."""
        if self.stopping.is_set():
            self.hurry.set()
        self.stopping.set()

    def _hand_over(self) -> None:
        self.handed_over = True
        self.stopping.set()

    async def _drain(self) -> int:
        settings = self.checked.plan.settings
        if not self.handed_over:
            notify.notify("STOPPING=1")
            self.sockets.unlink()
        self.sockets.close()  # the workers close theirs when their time has come
        log.info("draining, at most %g seconds; a second signal stops at once", settings.accept_grace + settings.drain)
        workers = list(self.workers.slots.values())
        for worker in workers:
            worker.state = "leaving"
        within = settings.accept_grace + settings.drain + GRACE
        asked = (worker.ask("drain", self.handed_over, within) for worker in workers)
        draining = asyncio.ensure_future(gathered(asked))
        hurry = asyncio.ensure_future(self.hurry.wait())
        await asyncio.wait([draining, hurry], return_when=asyncio.FIRST_COMPLETED)
        if draining.done():
            hurry.cancel()
            clean = all(result is True for result in draining.result())
        else:
            draining.cancel()
            clean = False
            await self._stop_all(workers)
        log.info("stopped after %s", self._summary())
        return 0 if clean else 1

    async def _stop_all(self, workers: list[Worker]) -> None:
        stops = (worker.ask("stop", None, GRACE) for worker in workers)
        await asyncio.gather(*stops, return_exceptions=True)

    def _summary(self) -> str:
        heads = [self.board.slot_head(slot) for slot in range(1, self.board.slots)]
        requests = sum(int(head[scoreboard.C_REQUESTS]) for head in heads)
        connections = sum(int(head[scoreboard.C_CONNECTIONS]) for head in heads)
        return f"{requests} requests on {connections} connections"

    async def _end_all(self) -> None:
        """No process that was started here is left."""
        workers = list(self.workers.processes.values())
        for worker in workers:
            if worker.slot == 0 or worker.state != "leaving":
                self.workers.end(worker, signal.SIGKILL)
        if workers:
            await asyncio.wait([worker.ended for worker in workers], timeout=GRACE)
        for worker in list(self.workers.processes.values()):
            self.workers.end(worker, signal.SIGKILL)
        self.workers.reap()

    # --- upgrade ---

    async def _upgrade_logged(self) -> None:
        try:
            await self.upgrade()
        except BindError as error:
            log.error("upgrade failed, nothing changed: %s", error)

    async def upgrade(self) -> int:
        """Start the program anew, in whatever version is installed now; it takes over, and this one drains.

        Returns the pid of the new one. Raises BindError if it does not come to serve; this one then goes on.
        """
        command = [sys.executable, "-m", "proxy", "run", "-c", self.path, "--replace"]
        command += ["--run-dir", str(self.places.folder)]
        process = self.workers.launch(command)
        deadline = monotonic() + UPGRADE_WITHIN
        while not self.handed_over:
            await asyncio.sleep(0.05)
            if process.pid in self.workers.strangers:
                code = self.workers.strangers.pop(process.pid)
                raise BindError(f"the new process ended with exit code {code}; see its log")
            if monotonic() > deadline:
                process.kill()
                raise BindError(f"the new process did not take over within {UPGRADE_WITHIN:g} s")
        return process.pid


async def gathered(asked: Iterable[Awaitable[object]]) -> list[object]:
    """What each answers, or how it failed."""
    return await asyncio.gather(*asked, return_exceptions=True)
