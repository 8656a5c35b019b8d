"""The workers as their driver sees them: started, given shards, heard, and replaced."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any

from footfall.errors import EngineError, EngineUnavailableError
from footfall.progress import console
from footfall.simulator.crowd import FinishedVisit
from footfall.simulator.scale_out.cluster import core_binding, reason_of, worker_resources
from footfall.simulator.scale_out.interrupts import remembered_interrupt
from footfall.simulator.scale_out.packed_shop import PackedShop
from footfall.simulator.scale_out.requirements import require_room
from footfall.simulator.scale_out.settings import RaySettings
from footfall.simulator.scale_out.shards import Journey, Shard, ShardQueue
from footfall.simulator.scale_out.worker import Batch, Contract, Place, ShopWorker

__all__ = ["Team"]

#: Batches asked of a worker in advance: it works on one while the other is being written down.
_CALLS_AHEAD = 2
#: Longest wait for workers to close their engines at the end; then they are killed.
_CLOSING_SECONDS = 30.0


@dataclass(slots=True)
class _Member:
    """A worker process: what it was asked, oldest first, and the shards that it holds.

    ``number`` is its place in the team, which those that replace it take over; ``hire`` counts all
    that were ever started, from 0. ``slot`` counts the workers of its ``machine`` from 0; both are
    known once it has started.
    """

    number: int
    hire: int
    handle: Any
    calls: deque[Any] = field(default_factory=deque)
    shards: dict[int, Shard] = field(default_factory=dict)
    machine: str = ""
    slot: int = 0
    opened: bool = False

    def shard_of(self, shopper: int) -> Shard:
        return next(shard for shard in self.shards.values() if shopper in shard.journeys)


class Team:
    """Up to ``workers`` actors. One that dies is replaced, and its shards are given out again.

    One that cannot be started again and again is done without, as long as others work.

    Parameters
    ----------
    ray:
        The connected module.
    shop, contract, settings:
        What workers get.
    """

    def __init__(
        self, ray: Any, shop: PackedShop, contract: Contract, settings: RaySettings
    ) -> None:
        self._ray = ray
        self._contract = contract
        self._settings = settings
        self._resources = worker_resources(settings, contract.engine, ray.cluster_resources())
        if len(ray.nodes()) == 1 and not self._resources["num_gpus"]:
            require_room(contract.engine, settings.workers)
        self._shop = _put(ray, shop)
        # A dead worker has lost its engine: Ray's own restart would bring back an empty one.
        self._actor = ray.remote(ShopWorker).options(max_restarts=0, **self._resources)
        self._members: dict[int, _Member] = {}
        self._hires = 0
        self._failed_starts: Counter[int] = Counter()
        self._given_up: set[int] = set()
        self._started_by = monotonic() + settings.start_timeout_seconds

    def lead(self, queue: ShardQueue) -> Generator[FinishedVisit]:
        """Give out all shards and yield what the workers hand over."""
        with remembered_interrupt() as raise_interrupt:
            while True:
                raise_interrupt()
                for number in range(1, self._settings.workers + 1):
                    self._occupy(number, queue)
                members = list(self._members.values())
                # Workers not started yet are not waited for when the others have done all.
                if not queue.waiting() and not any(member.shards for member in members):
                    return
                waiting = {member.calls[0]: member for member in members if member.calls}
                for call in self._ready(list(waiting)):
                    yield from self._hear(waiting[call], queue)

    def retire(self) -> None:
        """Let the workers close their engines."""
        opened = [member for member in self._members.values() if member.opened]
        calls = [member.handle.close.remote() for member in opened]
        if calls:
            self._ray.wait(calls, num_returns=len(calls), timeout=_CLOSING_SECONDS)

    def end(self) -> None:
        """End the workers, whatever they are doing."""
        for member in self._members.values():
            with suppress(Exception):
                self._ray.kill(member.handle)
        self._members = {}

    def _occupy(self, number: int, queue: ShardQueue) -> None:
        """See to it that a worker has something to do, as long as there is something."""
        member = self._members.get(number)
        if member is None:
            if number not in self._given_up and queue.waiting():
                self._members[number] = self._hire(number)
            return
        if not member.opened:
            return
        journeys: list[Journey] = []
        while (shard := queue.take(member.shards.values())) is not None:
            member.shards[shard.number] = shard
            journeys += shard.journeys.values()
        while member.shards and (journeys or len(member.calls) < _CALLS_AHEAD):
            member.calls.append(member.handle.go_on.remote(journeys))
            journeys = []

    def _hire(self, number: int) -> _Member:
        member = _Member(number, self._hires, self._actor.remote())
        self._hires += 1
        member.calls.append(member.handle.place.remote())
        return member

    def _ready(self, calls: list[Any]) -> list[Any]:
        """Calls that have been answered, at least one; fair to all workers."""
        started = any(member.machine for member in self._members.values())
        limit = None if started else max(0.0, self._started_by - monotonic())
        first, _ = self._ray.wait(calls, num_returns=1, timeout=limit)
        if not first:
            raise EngineUnavailableError(
                f"No worker has started within {self._settings.start_timeout_seconds:g} seconds; "
                f"each needs {self._resources['num_cpus']:g} CPUs and "
                f"{self._resources['num_gpus']:g} GPUs on one machine.",
                hint="See with `ray status` what the cluster has; lower `cpus_per_worker` or "
                "`gpus_per_worker`, or raise `start_timeout_seconds`.",
            )
        ready, _ = self._ray.wait(calls, num_returns=len(calls), timeout=0)
        return list(ready)

    def _hear(self, member: _Member, queue: ShardQueue) -> Iterator[FinishedVisit]:
        """Take the oldest answer of a worker."""
        errors = self._ray.exceptions
        call = member.calls.popleft()
        try:
            answer = self._ray.get(call)
        except errors.RayTaskError as error:
            if member.opened:  # a defect of the program, with the worker's traceback
                raise
            reason = f"A worker could not be set up: {reason_of(error.cause or error)}"
            if not self._any_opened():
                raise EngineError(
                    reason,
                    hint="Every machine of the cluster needs footfall, its extras and all plug-ins "
                    "in the versions of this one.",
                ) from error
            self._bury(member, queue, reason)
            return
        except errors.RayError as error:
            self._bury(member, queue, reason_of(error))
            return
        if isinstance(answer, Place):
            self._open(member, answer)
        elif isinstance(answer, Batch):
            yield from self._hand_on(member, answer, queue)
        elif answer is None:
            member.opened = True
            del self._failed_starts[member.number]
        elif self._any_opened():  # It may be this machine's fault: the others go on.
            self._bury(member, queue, answer.message)
        else:
            raise answer

    def _any_opened(self) -> bool:
        return any(member.opened for member in self._members.values())

    def _open(self, member: _Member, place: Place) -> None:
        taken = {each.slot for each in self._members.values() if each.machine == place.machine}
        member.machine = place.machine
        member.slot = min(set(range(len(taken) + 1)) - taken)
        environment = {}
        if not self._resources["num_gpus"]:
            environment = core_binding(
                place.cores, member.slot, self._settings, self._contract.engine
            )
        contract = self._contract_of(member)
        member.calls.append(member.handle.open.remote(self._shop, contract, environment))

    def _contract_of(self, member: _Member) -> Contract:
        """What a worker is to do; two in-process models must not sample the same words."""
        engine = self._contract.engine
        if engine.kind != "vllm":
            return self._contract
        seeded = engine.model_copy(update={"seed": engine.seed + member.hire})
        return replace(self._contract, engine=seeded)

    def _hand_on(
        self, member: _Member, batch: Batch, queue: ShardQueue
    ) -> Generator[FinishedVisit]:
        for finished in batch.visits:
            shard = member.shard_of(finished.shopper)
            shard.cross_off(finished)
            if not shard.journeys:
                del member.shards[shard.number]
            yield finished
        if batch.error is None:
            return
        if not batch.error.retryable:
            raise batch.error
        self._bury(member, queue, batch.error.message)

    def _bury(self, member: _Member, queue: ShardQueue, reason: str) -> None:
        """Give the shards of a dead worker back; its place becomes free."""
        with suppress(Exception):
            self._ray.kill(member.handle)
        del self._members[member.number]
        if not any(each.machine for each in self._members.values()):
            # The cluster may have no room for another: not waited for without an end.
            self._started_by = monotonic() + self._settings.start_timeout_seconds
        again = ""
        if not member.opened:
            again = self._note_failed_start(member.number, reason)
        for shard in member.shards.values():
            shard.deaths += 1
            if shard.deaths > self._settings.restarts:
                raise EngineUnavailableError(
                    f"{shard.describe().capitalize()} was with {shard.deaths} workers when they "
                    f"died: {reason}",
                    hint="Finished sessions are kept, and the same command goes on. If they ran "
                    "out of memory, use fewer `workers`; else raise `restarts`.",
                )
            queue.put_back(shard)
            again += f"; {shard.describe()} goes to another"
        console.print(f"Worker {member.number} is gone ({reason}){again}.", markup=False)

    def _note_failed_start(self, number: int, reason: str) -> str:
        """Count it; what follows from it, as the end of a sentence."""
        self._failed_starts[number] += 1
        times = self._failed_starts[number]
        if times <= self._settings.restarts:
            return ""
        if not self._any_opened():
            raise EngineUnavailableError(
                f"A worker died before it had opened its engine, {times} times in a row: {reason}",
                hint="Check that every machine has footfall installed, and memory for the "
                "engine; Ray's session folder (/tmp/ray) holds the workers' own output.",
            )
        self._given_up.add(number)
        return f"; the others go on without it after {times} failed starts"


def _put(ray: Any, shop: PackedShop) -> Any:
    """The shop in Ray's store, from where every machine fetches it once."""
    try:
        return ray.put(shop)
    except Exception:  # Another package's engine may fail to be pickled in any way.
        return ray.put(shop.without_engines())
