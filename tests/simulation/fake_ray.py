"""Ray in one process, as far as the driver's side uses it: actors run when they are waited for."""

import pickle
from dataclasses import dataclass, field
from types import SimpleNamespace


class FakeRayError(Exception):
    """The actor died."""


class FakeTaskError(FakeRayError):
    """The actor raised an error of its own."""

    def __init__(self, cause):
        super().__init__(str(cause))
        self.cause = cause


@dataclass(eq=False)
class Call:
    actor: "Actor"
    method: str
    arguments: bytes
    answer: object = None
    done: bool = False


@dataclass(eq=False)
class Actor:
    instance: object
    calls: list = field(default_factory=list)
    dead: bool = False

    def __getattr__(self, method):
        def remote(*arguments):
            # Pickled at once: what the driver changes later does not reach the actor.
            call = Call(self, method, pickle.dumps(arguments))
            self.calls.append(call)
            return call

        return SimpleNamespace(remote=remote)


class FakeRay:
    """``dies(call, count)`` says whether an actor dies in this, the ``count``-th call of all.

    ``pick(number)`` chooses which of so many actors works next. For more than ``room`` actors there
    is no room: they never start, and a wait for nobody else but them is over at once.
    """

    exceptions = SimpleNamespace(RayError=FakeRayError, RayTaskError=FakeTaskError)

    def __init__(self, dies=lambda call, count: False, pick=lambda number: 0, room=99):
        self.dies, self.pick, self.room = dies, pick, room
        self.actors = []
        self.options = {}
        self.executed = 0

    def cluster_resources(self):
        return {"CPU": 2.0}

    def nodes(self):
        return [{}]

    def put(self, thing):
        return pickle.loads(pickle.dumps(thing))

    def remote(self, kind):
        def options(**given):
            self.options = given
            return SimpleNamespace(remote=lambda: self._hire(kind))

        return SimpleNamespace(options=options)

    def _hire(self, kind):
        self.actors.append(Actor(kind()))
        return self.actors[-1]

    def kill(self, actor):
        actor.dead = True

    def wait(self, calls, *, num_returns, timeout=None):
        while timeout != 0 and not any(call.done or call.actor.dead for call in calls):
            busy = [
                actor
                for actor in dict.fromkeys(call.actor for call in calls)
                if actor in self.actors[: self.room] and any(not call.done for call in actor.calls)
            ]
            if not busy:
                assert timeout is not None, "the driver would wait for ever"
                return [], calls
            self._work(busy[self.pick(len(busy))])
        ready = [call for call in calls if call.done or call.actor.dead][:num_returns]
        return ready, [call for call in calls if call not in ready]

    def _work(self, actor):
        call = next(call for call in actor.calls if not call.done)
        self.executed += 1
        try:
            answer = getattr(actor.instance, call.method)(*pickle.loads(call.arguments))
            call.answer = pickle.loads(pickle.dumps(answer))
        except Exception as error:
            call.answer = FakeTaskError(error)
        if self.dies(call, self.executed):
            actor.dead = True
        else:
            call.done = True

    def get(self, call):
        if not call.done:
            raise FakeRayError("It died.")
        if isinstance(call.answer, FakeTaskError):
            raise call.answer
        return call.answer
