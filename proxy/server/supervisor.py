"""The supervisor: starts, assigns and replaces workers; it takes no traffic.

Law of this file: what it does to the configuration that is served happens in `_serve_config`, all or nothing.
Everything that it opens it closes in `run`. It may die at any moment without a request noticing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import signal
import time
from collections.abc import Coroutine
from time import monotonic
from typing import Any

from .. import scoreboard
from ..balancing.python_path import use_folders
from ..configuration.schema import Config
from ..control.admin.contract import WorkerStatus
from ..control.admin.server import AdminServer
from ..control.chaos.service import ChaosService
from ..control.health_checks import HealthChecks
from ..control.load_polling import LoadPolling
from ..control.outlier_detection import OutlierDetection
from ..control.reload import Checked, ReloadResult, check_in_thread, problems_of, read_token, try_members
from ..control.watch import Watcher
from ..downstream.listener import address_of, probe, written
from ..errors import BindError, QantaraError
from ..plan import ListenerSpec
from ..upstream.spec import GroupSpec
from . import notify
from .chaos_target import SupervisorTarget
from .membership import Lists, Membership, give_rows
from .messages import Assignment, Drain
from .respawn import Respawn
from .runtime_paths import RuntimePaths
from .sockets import ListenerSockets, Offered, remove_files
from .takeover import Handover, Predecessor, find
from .upgrade import Upgrade
from .workers import WorkerHandle, Workers

log = logging.getLogger("qantara")

MOST_WORKERS = 64
"""Workers that a reload may ask for, unless it was started with more."""
GRACE = 5.0
"""Seconds that workers have beyond `timeouts.drain`."""


def worker_count(checked: Checked) -> int:
    """How many workers a configuration asks for."""
    workers = checked.config.workers
    return len(os.sched_getaffinity(0)) if workers == "auto" else workers


class Supervisor:
    """One running proxy, of as many processes as its configuration says."""

    def __init__(self, path: str, checked: Checked, paths: RuntimePaths, replace: bool) -> None:
        self.path = path
        self.paths = paths
        self.replace = replace
        """Whether a proxy that serves this configuration already is to be replaced."""
        self.checked = checked
        self.workers_wanted = worker_count(checked)
        self.board = scoreboard.create(1 + max(MOST_WORKERS, self.workers_wanted))
        self.sockets = ListenerSockets()
        self.workers = Workers(self.board, paths, path, lambda worker: self.respawn.on_death(worker))
        self.respawn = Respawn(self.workers, lambda: 0 if self.stopping.is_set() else self.workers_wanted, self._refill)
        self.outliers = OutlierDetection(self.board)
        self.health_checks = HealthChecks(self.board)
        self.membership = Membership(self.board, self.health_checks, LoadPolling(self.board))
        self.discovery = self.membership.discovery
        self.chaos_target = SupervisorTarget(self.board, self.workers, self.health_checks, self.ask_all, self.specs)
        self.chaos = ChaosService(self.config.chaos, self.chaos_target)
        self.last_reload = ReloadResult(time.time(), True, 0.0)
        self.stopping = asyncio.Event()
        self.hurry = asyncio.Event()
        self.grace = 0.0
        self.files: list[str] = []
        """Files of Unix sockets without a listener."""
        self.handed_over = False
        self.upgrades = Upgrade(path, paths, self.workers)
        self._lock = asyncio.Lock()
        """Held while workers take up what is to be served."""
        self._reloading = asyncio.Lock()
        self._tasks: set[asyncio.Task[object]] = set()
        self._reload_wanted = asyncio.Event()
        self.watcher = Watcher(path, self._reload_wanted.set)

    async def run(self) -> int:
        """Serve until `stop`. Returns the exit code. Raises BindError if it cannot start."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self.workers.reap)
        self.workers.reap()  # strangers that ended while this process was starting
        self._handle_signals(loop)
        admin = AdminServer(self)
        handover: Handover | None = None
        try:
            async with self.membership.taking_up(self.config) as lists:
                await try_members(self.checked.plan, lists)
            predecessors = await self._start()
            socket_path, sockets = self.paths.takeover(os.getpid()), self.sockets
            handover = Handover(socket_path, "supervisor", lambda: sockets.binds, lambda: sockets.lent, self._hand_over)
            await admin.listen_at(self.paths.control)
            await self._open_admin(admin)
            await self.membership.watch(self.specs())
            for each in predecessors:  # from here on commands reach this process, too
                each.leave()
                log.info("took over from process %d (%s)", each.pid, each.role)
            self._announce()
            await self.stopping.wait()
            return await self._drain()
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self.respawn.close()
            await self.watcher.close()
            await self.membership.close()
            await admin.close(keep_file=self.handed_over)
            if handover is not None:
                handover.close()
            await self._end_all()
            self.files += self.sockets.close()
            if not self.handed_over:
                remove_files(self.files)

    # --- start ---

    async def _start(self) -> list[Predecessor]:
        predecessors = find(self.paths.takeovers())
        for each in predecessors:
            await each.ask()
            if each.role == "supervisor" and not self.replace:
                raise BindError(f"process {each.pid} serves this configuration already; see qantara upgrade")
            self.sockets.offered += each.sockets
        self.sockets.offered += [Offered(sock, True) for sock in notify.inherited_sockets()]
        self.sockets.open(self.checked.plan.listeners, self.workers_wanted)
        for address in self.sockets.let_go():
            log.warning("no listener wants the inherited socket %s: whoever connects there is not served", address)
        assignment = self._assignment(self.checked, self.membership.lists)
        async with self._lock:
            await asyncio.gather(*(self._fill(index, assignment) for index in range(self.workers_wanted)))
        self.workers.keep_spare()
        return predecessors

    async def _fill(self, index: int, assignment: Assignment) -> None:
        await self.workers.fill(index, assignment, self.sockets, self.workers_wanted)
        await self.chaos_target.settle(assignment.rules)

    async def _refill(self, index: int) -> None:
        """Replace the worker of an index."""
        async with self._lock:
            if index < self.workers_wanted and index not in self.workers.serving():
                await self._fill(index, self._assignment(self.checked, self.membership.lists))
                log.info("place %d is served again, by process %d", index, self.workers.serving()[index].pid)

    def _announce(self) -> None:
        for spec in self.checked.plan.listeners:
            log.info("listening on %s", written(address_of(self.sockets.binds[spec.bind][0])))
        log.info("%d workers", self.workers_wanted)
        self._spawn(self._look_after())
        self._spawn(self._reload_when_wanted())
        self._spawn(self.chaos.run())
        self._spawn(self.membership.hand_on(self._lock, self.ask_all, self.specs))
        self.watcher.adopt(self.config.watch, self.checked.digest)
        notify.notify("READY=1", f"MAINPID={os.getpid()}", f"STATUS={self.workers_wanted} workers serve")

    async def _open_admin(self, admin: AdminServer) -> None:
        wanted = self.config.admin
        if wanted is not None:
            if not self.replace:  # a predecessor shares the address; another process must not
                probe(ListenerSpec(f"admin.bind {wanted.bind}", wanted.bind.host, wanted.bind.port, ""))
            bound = await admin.listen_on(wanted.bind.host, wanted.bind.port, read_token(wanted))
            log.info("admin API on %s", written(bound))

    # --- what the admin API asks ---

    @property
    def config(self) -> Config:
        """What is served."""
        return self.checked.config

    def worker_status(self) -> list[WorkerStatus]:
        """The workers that have a slot."""
        return self.workers.status()

    def ready(self) -> bool:
        """Whether requests should be sent here."""
        return not self.stopping.is_set() and any(each.state == "serving" for each in self.workers.slots.values())

    def status(self) -> dict[str, object]:
        """Processes and the last reload."""
        return {
            "pid": os.getpid(),
            "config": self.path,
            "ready": self.ready(),
            "workers": [status._asdict() for status in self.worker_status()],
            "spares": [spare.pid for spare in self.workers.spares],
            "last_reload": self.last_reload._asdict(),
        }

    def _spawn(self, coroutine: Coroutine[Any, Any, object]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _handle_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.add_signal_handler(signal.SIGTERM, self.stop)
        loop.add_signal_handler(signal.SIGINT, self.stop, False)  # from a terminal
        loop.add_signal_handler(signal.SIGHUP, self._reload_wanted.set)
        loop.add_signal_handler(signal.SIGUSR1, lambda: self._spawn(self.ask_all("reopen")))
        loop.add_signal_handler(signal.SIGUSR2, lambda: self._spawn(self._upgrade_logged()))

    def _assignment(self, checked: Checked, lists: Lists) -> Assignment:
        """The assignment of the workers. Gives every backend its rows of the board."""
        give_rows(self.board, lists, checked.config.rate_limits)
        rows = dict(self.board.backends.rows), dict(self.board.upstreams.rows)
        plan = pickle.dumps(checked.plan, pickle.HIGHEST_PROTOCOL)
        return Assignment(0, plan, lists, *rows, self.chaos_target.rules)

    def specs(self) -> dict[str, GroupSpec]:
        """What is served: every upstream with the backends that it has now."""
        return {
            name: spec._replace(backends=self.membership.lists.get(name, spec.backends))
            for name, spec in self.checked.plan.groups.items()
        }

    # --- reload ---

    async def reload(self) -> ReloadResult:
        """Load the file again and serve what stands in it. What is wrong changes nothing, and is in the result."""
        async with self._reloading:
            if self.stopping.is_set():
                return self._recorded(ReloadResult(time.time(), False, 0.0, ("the proxy is stopping",)))
            notify.reloading()
            began = monotonic()
            warnings: tuple[str, ...] = ()
            problems: tuple[str, ...] = ()
            try:
                checked = await check_in_thread(self.path)
                warnings = tuple(map(str, checked.warnings))
                await self._take_up(checked)
            except QantaraError as error:
                problems = problems_of(error)
            except Exception as error:  # the task that waits for reloads goes on
                log.exception("a defect of the proxy, during a reload")
                problems = (f"a defect of the proxy: {error!r}",)
            use_folders(self.config.python_path)  # a configuration that was refused had its own
            result = self._recorded(ReloadResult(time.time(), not problems, monotonic() - began, problems, warnings))
            notify.notify("READY=1")
            return result

    async def _take_up(self, checked: Checked) -> None:
        async with self.membership.taking_up(checked.config) as lists, self._lock:
            await try_members(checked.plan, lists)
            if self.stopping.is_set():  # while sources were asked
                raise BindError("the proxy is stopping")
            await self._serve_config(checked, lists)
        self.watcher.adopt(checked.config.watch, checked.digest)
        await self.membership.watch(self.specs())
        await self.chaos.adopt(checked.config.chaos)

    def _recorded(self, result: ReloadResult) -> ReloadResult:
        for problem in result.problems:
            log.error("reload refused: %s", problem)
        if result.ok:
            log.info("reloaded in %.0f ms", result.seconds * 1e3)
        self.last_reload = result
        return result

    async def _serve_config(self, checked: Checked, lists: Lists) -> None:
        """Have every worker serve this, or all of them what they served before."""
        count = worker_count(checked)
        if count >= self.board.slots:
            raise BindError(f"workers: {count} are more than {self.board.slots - 1}; upgrade or restart for so many")
        before, old_count = self.checked, self.workers_wanted
        opened = self.sockets.open(checked.plan.listeners, max(count, old_count))
        try:
            await self._assign(self._assignment(checked, lists), count)
        except (BindError, ValueError, QantaraError):
            with contextlib.suppress(BindError):
                await self._assign(self._assignment(before, self.membership.lists), old_count)
            self.sockets.give_back(opened)
            raise
        self.checked, self.workers_wanted = checked, count
        self.sockets.keep_only(spec.bind for spec in checked.plan.listeners)

    async def _assign(self, assignment: Assignment, count: int) -> None:
        await self.workers.assign(assignment, self.sockets, count, self.checked.plan.settings.drain + GRACE)
        await self.chaos_target.settle(assignment.rules)

    async def _reload_when_wanted(self) -> None:
        while True:
            await self._reload_wanted.wait()
            self._reload_wanted.clear()  # what comes from here on is one more reload, however often it comes
            await self.reload()

    # --- workers ---

    async def _look_after(self) -> None:
        """Once per second: judge outliers, end workers that hang, notify the watchdog of the service manager."""
        watchdog = notify.watchdog_seconds()
        while True:
            await asyncio.sleep(min(1.0, watchdog or 1.0))
            self.workers.keep_spare()
            self.respawn.look()
            self.outliers.sweep(self.specs(), monotonic())
            self.membership.free_rows(self._lock)
            if watchdog:
                notify.notify("WATCHDOG=1")
            self.workers.end_hung()

    async def ask_all(self, kind: str, payload: object = None) -> list[object]:
        """Ask every worker that serves; those that cannot answer are left out."""
        workers = [worker for worker in self.workers.slots.values() if worker.state == "serving"]
        answers = await asyncio.gather(*(worker.ask(kind, payload) for worker in workers), return_exceptions=True)
        return [answer for answer in answers if not isinstance(answer, BaseException)]

    # --- stop ---

    def stop(self, grace: bool = True) -> None:
        """Drain and end, after `timeouts.accept_grace` if there is to be a `grace`; called once more, end at once."""
        if self.stopping.is_set():
            self.hurry.set()
        elif grace and not self.handed_over:
            self.grace = self.checked.plan.settings.accept_grace
        self.stopping.set()

    def _hand_over(self, taken_over: bool) -> None:
        self.handed_over = taken_over
        self.stop()

    async def _drain(self) -> int:
        settings = self.checked.plan.settings
        if not self.handed_over:
            notify.notify("STOPPING=1")
        self.files += self.sockets.close()  # the workers close theirs when their time has come
        if not self.handed_over:
            asyncio.get_running_loop().call_later(self.grace, remove_files, self.files)
        log.info("draining, at most %g seconds; a second signal stops at once", self.grace + settings.drain)
        workers = list(self.workers.slots.values())
        for worker in workers:
            worker.state = "leaving"
        how = Drain(self.handed_over, self.grace)
        asked = (worker.ask("drain", how, self.grace + settings.drain + GRACE) for worker in workers)
        draining: asyncio.Future[list[object]] = asyncio.gather(*asked, return_exceptions=True)
        hurry = asyncio.ensure_future(self.hurry.wait())
        both: list[asyncio.Future[Any]] = [draining, hurry]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if draining.done():
            hurry.cancel()
            clean = all(result is True for result in draining.result())
        else:
            draining.cancel()
            await asyncio.gather(draining, return_exceptions=True)
            clean = False
            await self._stop_all(workers)
        log.info("stopped after %s", self._summary())
        return 0 if clean else 1

    async def _stop_all(self, workers: list[WorkerHandle]) -> None:
        stops = (worker.ask("stop", None, GRACE) for worker in workers)
        await asyncio.gather(*stops, return_exceptions=True)

    def _summary(self) -> str:
        heads = [self.board.slot_head(slot) for slot in range(1, self.board.slots)]
        cells = scoreboard.C_REQUESTS, scoreboard.C_CONNECTIONS
        return "{} requests on {} connections".format(*(sum(int(head[cell]) for head in heads) for cell in cells))

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
        """Start what is installed now, to take over from this one. Its pid; raises BindError if it does not."""
        return await self.upgrades.run(self.stopping.is_set(), lambda: self.handed_over)
