"""The inline backend: everything in this process, one call after the other, for debugging.

`burrow.init(mode="inline")`. A task runs when it is submitted, before `.remote()` returns,
in the caller's thread, so a debugger and `print` work as in a local call. Threads of the
user's may each run a call at a time; a serial actor takes one after the other. What makes a
program right or wrong elsewhere is kept: arguments and results are pickled and copied,
refs are resolved at top level only, errors travel in refs, actors keep their state.
There is no parallelism, so nothing can wait for something later, and no process of its
own that could crash, be interrupted or be killed in the middle.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import secrets
import sys
import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from burrow_jupyter.backends.code import CodeBook
from burrow_jupyter.backends.ledger import WORKER, Ledger, short_or_empty
from burrow_jupyter.backends.protocol import OLD_SESSION, Ended, Failed
from burrow_jupyter.core import feed, limits, messages, resources
from burrow_jupyter.core.failures import (
    ActorDied,
    Cancelled,
    EngineError,
    ObjectLost,
    Upstream,
    UserError,
    contained_in,
    one_line,
    root_of,
)
from burrow_jupyter.core.ids import IdMint, Ref, short
from burrow_jupyter.engine import current, errors, hardware, seeds, serialization
from burrow_jupyter.engine.current import TERMINATED, ExitActor
from burrow_jupyter.engine.execute import Call, arguments, creation_options, unknown_group

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from burrow_jupyter.core.failures import Failure
    from burrow_jupyter.core.messages import Value
    from burrow_jupyter.core.options import ActorOptions, TaskOptions

CLIENT_ID = 1


class _Object:
    """A value or a failure, and how many refs there are to it."""

    __slots__ = ("asked", "count", "failure", "task_id", "value")

    def __init__(self, value: Value | None, failure: Failure | None, task_id: int = 0) -> None:
        self.asked = False
        self.value = value
        self.failure = failure
        self.task_id = task_id
        self.count = 1

    @property
    def size_bytes(self) -> int:
        """The size of the value, 0 of a failure."""
        return 0 if self.value is None else len(self.value.data) + self.value.size


class _Actor:
    """An instance, or why there is none."""

    __slots__ = (
        "count",
        "created_at",
        "failure",
        "finished",
        "id",
        "instance",
        "options",
        "reason",
        "run_id",
        "turn",
    )

    def __init__(self, actor_id: int, options: ActorOptions, run_id: int) -> None:
        serial = not options.out_of_order and not options.concurrency_groups
        self.turn = threading.RLock() if serial else contextlib.nullcontext()
        """Held by the thread whose call runs."""
        self.id = actor_id
        self.options = options
        self.run_id = run_id
        self.instance: Any = None
        self.failure: ActorDied | None = None
        self.count = 1
        self.reason = ""
        self.finished = 0
        self.created_at = time.time()


class _Client:
    """What `execute.Call` asks of a connection: values are copied, nothing is sent."""

    writer = None
    """Values stay in this process."""

    def __init__(self, backend: InlineBackend) -> None:
        self._backend = backend
        self.mint = backend.mint
        self.items: list[messages.Yielded] = []
        """Of the generator that the call is."""

    def receive_value(self, value: Value) -> None:
        """Nothing is counted: there are no segments."""

    def release_segment(self, name: str) -> None:
        """As `receive_value`."""

    def load(self, value: Value) -> Any:
        """Return a copy of the user's value."""
        return load(value)

    def dump(self, value: Any) -> Value:
        """Take a copy of the user's value; what it refers to lives on from now."""
        return self._backend.keep(serialization.dump(value, None))

    def put(self, value: Any) -> int:
        """Store a value of the user's."""
        return self._backend.put(value)

    def put_failure(self, failure: Failure) -> int:
        """Store what stands for a value that could not be made."""
        return self._backend.put_failure(failure)

    def post(self, message: Any) -> None:
        """Take an item of a generator, the one message that a call sends while it runs."""
        if isinstance(message, messages.Yielded):
            self.items.append(message)

    def flush(self) -> None:
        """Nothing waits to be sent."""


def _why(leaving: ExitActor | SystemExit) -> str:
    if isinstance(leaving, ExitActor):
        return leaving.reason
    return f"it called sys.exit({leaving.code})"


class _Worker:
    """What `execute.Call` asks of a worker."""

    def __init__(self, backend: InlineBackend, actor: Any) -> None:
        self._backend = backend
        self.actor = actor
        self.client = _Client(backend)
        self.wrap_ref, self.wrap_refs = backend.wrap_ref, backend.wrap_refs

    def code(self, code_id: int) -> Any:
        """Return a function or class."""
        return self._backend.code(code_id)

    def renew_modules(self) -> None:
        """Do nothing: the process is the notebook's, which has them as it wants them."""

    def keep(self, call: current.Current, error: BaseException) -> bool:
        """Say that frames of failures are not kept: they are in the traceback already."""
        return False

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end."""
        return self._backend.loops.run(coroutine)

    def may_yield(self, now: current.Current, ahead: int, most: int) -> bool:
        """Nobody can take an item before the last is made, so nothing is held back."""
        return True


def load(value: Value) -> Any:
    """Return the user's value; its arrays are writable and nobody else's."""
    unused: Any = None
    return serialization.load(value, unused, lambda name: None)


class _Loops:
    """The loops of a session's coroutines: what a call has made belongs to the next one's, too.

    A coroutine that calls another waits for it, so each depth of such calls has a loop, and each
    thread that runs one meanwhile.
    """

    def __init__(self) -> None:
        self._loops: list[asyncio.AbstractEventLoop] = []
        self._busy: set[asyncio.AbstractEventLoop] = set()
        self._lock = threading.Lock()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end, also for a caller that is in a loop of its own."""
        import asyncio  # noqa: PLC0415  # 30 ms, paid by those who use it

        with self._lock:
            loop = next((one for one in self._loops if one not in self._busy), None)
            if loop is None:
                loop = asyncio.new_event_loop()
                self._loops.append(loop)
            self._busy.add(loop)
        try:
            if asyncio._get_running_loop() is None:  # noqa: SLF001  # the public one raises
                return loop.run_until_complete(coroutine)
            return _in_thread(lambda: loop.run_until_complete(coroutine))
        finally:
            self._busy.discard(loop)

    def close(self) -> None:
        """End the loops."""
        for loop in self._loops:
            loop.close()
        self._loops.clear()


def _in_thread(work: Callable[[], Any]) -> Any:
    """Do something in a thread, as the calling one: a thread has one running loop at most."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # noqa: BLE001  # raised again below
            outcome.extend([None, error])

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(run,), name="burrow-inline")
    thread.start()
    thread.join()
    if len(outcome) > 1:
        raise outcome[1]
    return outcome[0]


class InlineBackend:
    """A session without processes."""

    name = "inline"
    waits_for_infeasible = False

    def __init__(
        self,
        *,
        num_cpus: float | None = None,
        num_gpus: float | None = None,
        resources_given: dict[str, float] | None = None,
        namespace: str = "",
    ) -> None:
        """Begin a session; amounts are logical and never run out, since one call runs at a time."""
        self.session = secrets.randbits(63)
        self.namespace = namespace or secrets.token_hex(8)
        self.mint = IdMint(CLIENT_ID)
        cpus = hardware.detect_cpus().count if num_cpus is None else num_cpus
        self.totals: dict[str, float] = {
            resources.CPU: cpus,
            resources.MEMORY: float(hardware.detect_memory().total_bytes),
            **(resources_given or {}),
        }
        if num_gpus:
            self.totals[resources.GPU] = num_gpus
        self.wrap_ref: Callable[[int], Any] = lambda object_id: object_id
        self.wrap_refs: Callable[[list[Any]], Any] = list
        self._closed = False
        self._book = CodeBook(None, None, self._forget_code)
        self.let_go = self._book.let_go
        self.tidy = self._book.sweep
        self.loops = _Loops()
        self._codes: dict[int, tuple[Value, bytes]] = {}
        self._loaded: dict[int, Any] = {}
        self._interned: dict[TaskOptions, int] = {}
        self._objects: dict[int, _Object] = {}
        self._actors: dict[int, _Actor] = {}
        self._classes: dict[int, int] = {}
        self._names: dict[tuple[str, str], int] = {}
        self._counting = threading.RLock()
        self._outside = (current.process_wide, current.facts)
        self._running: list[tuple[current.Current, current.WorkerFacts]] = []
        """Calls, in the order of their beginning; several if several threads run some."""
        self._waiting: dict[int, list[Any]] = {}
        self._reported: set[int] = set()
        self._ledger = Ledger()
        self._dead: deque[_Actor] = deque(maxlen=limits.RECENT_ACTORS)

    @property
    def closed(self) -> bool:
        """Whether the session has ended."""
        return self._closed

    @property
    def untouched(self) -> bool:
        """Whether nothing was ever submitted or stored."""
        return not self._interned and not self._objects and not self._actors

    # ---- code and options ------------------------------------------------------------

    def define(self, target: Any, name: str, meta: bytes = b"", *, run_id: int = 0) -> int:
        """Make a function or class known; see `Backend.define`."""

        def send(value: Value, captured: list[int]) -> int:
            code_id = self.mint.next()
            self._codes[code_id] = (self.keep(value), meta)
            return code_id

        return self._book.find(target, name, meta, send)

    def _forget_code(self, code_id: int) -> None:
        if code_id not in self._classes.values():  # of actors, whose records stay
            del self._codes[code_id]
            self._loaded.pop(code_id, None)

    def code(self, code_id: int) -> Any:
        """Return a function or class, unpickled once as a worker would."""
        if code_id not in self._loaded:
            self._loaded[code_id] = load(self._codes[code_id][0])
        return self._loaded[code_id]

    def set_up(
        self, function: Callable[[], object], name: str, *, run_id: int = 0, key: str = ""
    ) -> int:
        """Everything runs in this process, which is set up already, but for what a run asks."""
        if run_id:
            function()
        return 0

    def intern(self, options: TaskOptions) -> int:
        """Return the id of these options."""
        return self._interned.setdefault(options, self.mint.next())

    # ---- tasks and actors ------------------------------------------------------------

    def _run(
        self,
        message: messages.Run,
        options: TaskOptions,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        run_id: int,
        actor: _Actor | None,
        retries: int,
    ) -> int:
        packed, deps, slots = self._pack(options.name, args, kwargs)
        count = options.num_returns
        results = count if count >= 0 else 1
        task_id = self._enter(options, results, run_id, actor.id if actor is not None else 0)
        for object_id in deps:
            failure = self._objects[object_id].failure
            if failure is not None:
                self._objects[object_id].asked = True
                return self._fail(task_id, results, Upstream(options.name, task_id, failure))
        message.task_id = task_id
        message.args = packed
        message.slots = slots
        message.deps = deps
        message.values = [self._objects[object_id].value for object_id in deps]
        message.run_id = run_id
        try:
            done, items = self._attempts(message, options, actor, retries)
        except KeyboardInterrupt:
            self._ledger.end(task_id, Cancelled(task_id, options.name))
            raise
        self._ledger.end(task_id, done.failure)
        self._settle_items(task_id, options, items, done.failure)
        return self._settle_all(task_id, results, done.values, done.failure, held=True)

    def _enter(self, options: TaskOptions, results: int, run_id: int, actor_id: int) -> int:
        task_id = self.mint.block(max(1, results))
        self._ledger.enter(task_id, options.name, run_id, current.call().task_id, actor_id)
        return task_id

    def _fail(self, task_id: int, results: int, failure: Failure) -> int:
        """A call cannot run."""
        self._ledger.end(task_id, failure)
        return self._settle_all(task_id, results, None, failure)

    def _attempts(
        self,
        message: messages.Run,
        options: TaskOptions,
        actor: _Actor | None,
        limit: int,
    ) -> tuple[messages.Done, list[messages.Yielded]]:
        attempt = 0
        actor_id = actor.id if actor is not None else 0
        facts = self._facts(options.shape, actor)
        while True:
            attempt += 1
            now = current.Current(message.task_id, message.run_id, actor_id, attempt, options)
            worker: Any = _Worker(self, actor.instance if actor is not None else None)
            call = Call(worker, message, options, now)
            self._ledger.begin(message.task_id, attempt)
            with self._being(now, facts):
                done = self._attempt(call, actor)
            call.forget()  # an error and the frames that it came through hold each other
            if done.failure is None or not done.retryable or not (limit < 0 or attempt <= limit):
                return done, worker.client.items
            for any_id in contained_in(done.failure):
                self.drop(any_id)

    @contextlib.contextmanager
    def _being(self, now: current.Current, facts: current.WorkerFacts) -> Iterator[None]:
        """Be the call that runs: in this thread, and, of several, where it is the latest."""
        entry = (now, facts)
        token = current.concurrent.set(now)
        self._running.append(entry)
        try:
            self._tell_what_runs()
            yield
        finally:
            self._running.remove(entry)
            self._tell_what_runs()
            current.concurrent.reset(token)

    def _tell_what_runs(self) -> None:
        now, facts = self._running[-1] if self._running else self._outside
        current.set_process_wide(now)
        current.swap_facts(facts)

    def _facts(self, shape: resources.Shape, actor: _Actor | None) -> current.WorkerFacts:
        """Return what a worker of its own would know of itself."""
        facts = current.WorkerFacts()
        if actor is not None:
            facts.actor_id = actor.id
            facts.actor_options = actor.options
            facts.actor_class = self.code(self._classes[actor.id])
            shape = actor.options.shape
        gpus = -(-dict(shape).get(resources.GPU, 0) // resources.UNIT)
        facts.gpus = tuple(str(index) for index in range(gpus))
        return facts

    def _attempt(self, call: Call, actor: _Actor | None) -> messages.Done:
        done = call.prepare()
        if done is not None:
            return done
        try:
            if actor is not None and actor.options.is_async:
                self.loops.run(call.run_async())
            else:
                call.run()
        except KeyboardInterrupt:
            raise  # the user's own: there is no other process that it could be meant for
        except (ExitActor, SystemExit) as leaving:
            if actor is None:
                text = "the task called sys.exit(), which ends a worker process"
                return messages.Done(call.now.task_id, [], EngineError(text))
            self._die(actor, _why(leaving))
            return messages.Done(call.now.task_id, [], actor.failure)
        except BaseException as error:  # noqa: BLE001  # the border of the user's code
            done = call.failed(error)
            # While the exception is here: with it goes what it alone holds.
            self._adopt_all(contained_in(done.failure))
            return done
        return call.finished()

    def submit(
        self,
        code_id: int,
        options_id: int,
        options: TaskOptions,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        run_id: int,
    ) -> int:
        """Run a task now; see `Backend.submit`."""
        message = messages.Run(0, code_id, options_id)
        return self._run(message, options, args, kwargs, run_id, None, options.max_retries)

    def create_actor(
        self,
        code_id: int,
        options: ActorOptions,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        run_id: int,
    ) -> int:
        """Make an actor now; see `Backend.create_actor`."""
        key = (options.namespace, options.name)
        if options.name and key in self._names:
            holder = self._names[key]
            if options.get_if_exists:
                self._actors[holder].count += 1
                return holder
            msg = f"the name {options.name!r} is taken"
            raise ValueError(msg)
        packed, deps, slots = self._pack(f"{options.class_name}()", args, kwargs)
        actor_id = self.mint.next()
        actor = self._actors[actor_id] = _Actor(actor_id, options, run_id)
        self._classes[actor_id] = code_id
        if options.name:
            self._names[key] = actor_id
        client: Any = _Client(self)
        now = current.Current(0, run_id, actor_id, options=creation_options(options.class_name))
        try:
            with self._being(now, self._facts(options.shape, actor)):
                values = []
                for object_id in deps:
                    failure = self._objects[object_id].failure
                    if failure is not None:
                        self._objects[object_id].asked = True
                        root = root_of(failure)
                        error = root if isinstance(root, UserError) else None
                        why = "an argument of its constructor could not be computed"
                        self._die(actor, why, error)
                        return actor_id
                    values.append(self._objects[object_id].value)
                args_list, kwargs = arguments(client, packed, slots, values)
                cls = self.code(code_id)
                if options.is_async:
                    from burrow_jupyter.engine.side_by_side import (  # noqa: PLC0415  # loads asyncio, 30 ms
                        construct,
                    )

                    actor.instance = self.loops.run(construct(cls, args_list, kwargs))
                else:
                    actor.instance = cls(*args_list, **kwargs)
                now.check_leaving()
        except KeyboardInterrupt:
            raise
        except (ExitActor, SystemExit) as leaving:
            self._die(actor, _why(leaving))
        except BaseException as error:  # noqa: BLE001  # the border of the user's code
            failure = errors.capture(
                error, function=f"{options.class_name}.__init__", task_id=0, actor_id=actor_id
            )
            self._die(actor, "its constructor raised", failure)
        return actor_id

    def _die(self, actor: _Actor, reason: str, error: Any = None) -> ActorDied:
        actor.instance = None
        actor.reason = reason
        name = actor.options.class_name
        text = f"The actor {name} ({short(actor.id)}) is dead: {reason}."
        actor.failure = ActorDied(actor.id, name, text, error)
        key = (actor.options.namespace, actor.options.name)
        if self._names.get(key) == actor.id:
            del self._names[key]
        self._dead.append(actor)
        return actor.failure

    def call_actor(
        self,
        actor_id: int,
        method: str,
        options_id: int,
        options: TaskOptions,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        run_id: int,
        retries: int,
        code_id: int = 0,
    ) -> int:
        """Call a method now; see `Backend.call_actor`."""
        actor = self._actors.get(actor_id)
        results = max(1, options.num_returns)
        failure: Failure | None = None
        if actor is None:
            failure = ActorDied(actor_id, "", "there is no such actor any more")
        elif actor.failure is not None:
            failure = actor.failure
        if failure is not None:
            return self._fail(self._enter(options, results, run_id, actor_id), results, failure)
        assert actor is not None, "checked above"
        if method == messages.TERMINATE:
            failure = self._die(actor, TERMINATED)
            return self._fail(self._enter(options, results, run_id, actor_id), results, failure)
        group, groups = options.concurrency_group, dict(actor.options.concurrency_groups)
        if group and group not in groups:
            failure = EngineError(unknown_group(options.name, group, groups))
            return self._fail(self._enter(options, results, run_id, actor_id), results, failure)
        message = messages.Run(0, code_id, options_id, method)
        with actor.turn:
            task_id = self._run(message, options, args, kwargs, run_id, actor, retries)
        actor.finished += 1
        if code_id and self._objects[task_id].failure is None:
            self._classes[actor_id] = code_id
        return task_id

    def named_actor(self, name: str, namespace: str) -> tuple[int, bytes, ActorOptions]:
        """Look an actor up; see `Backend.named_actor`."""
        actor_id = self._names.get((namespace, name))
        if actor_id is None:
            msg = f"Failed to look up actor with name {name!r}"
            raise LookupError(msg)
        meta = self._codes[self._classes[actor_id]][1]
        return actor_id, meta, self._actors[actor_id].options

    def _pack(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Value, list[int], list[int | str]]:
        deps: list[int] = []
        slots: list[int | str] = []
        given: list[tuple[int | str, Any]] = [*enumerate(args), *kwargs.items()]
        for slot, value in given:
            if isinstance(value, Ref):
                if value.session != self.session:
                    raise Ended(OLD_SESSION)
                deps.append(value.id)
                slots.append(slot)
        plain = tuple(None if isinstance(a, Ref) else a for a in args)
        named = {k: v for k, v in kwargs.items() if not isinstance(v, Ref)}
        try:
            seed = seeds.for_next_call() if seeds.active else 0
            packed = (plain, named, seed) if seed else (plain, named)
            return serialization.dump(packed, None), deps, slots
        except Ended:
            raise
        except Exception as error:  # noqa: BLE001  # whatever the user's objects raise
            from burrow_jupyter.engine.unpicklable import explain  # noqa: PLC0415  # for errors only

            raise TypeError(explain(error, (plain, named), f"the arguments of {name}")) from None

    # ---- results ---------------------------------------------------------------------

    def _settle_all(
        self,
        task_id: int,
        count: int,
        values: list[Value] | None,
        failure: Failure | None,
        *,
        held: bool = False,
    ) -> int:
        """Keep results, or why there are none; `held`: what the failure contains is counted."""
        if count == 0 and failure is not None:
            self._report(failure)
        given = list(values or [])
        for index in range(count):
            object_id = task_id + index
            if object_id in self._objects:
                continue  # a generator has yielded it
            value = given[index] if failure is None and index < len(given) else None
            self._objects[object_id] = _Object(value, failure if value is None else None, task_id)
            self._adopt_all(contained_in(self._objects[object_id].failure))
        for any_id in contained_in(failure) if held else ():
            self.drop(any_id)
        return task_id

    def _adopt_all(self, ids: list[int]) -> None:
        for any_id in ids:
            self.adopt(any_id)

    def _report(self, failure: Failure) -> None:
        """Say once of a failed call that nobody has asked for, that it failed."""
        root = root_of(failure)
        if isinstance(root, UserError) and root.task_id not in self._reported:
            self._reported.add(root.task_id)
            sys.stderr.write(f"{root.function} failed: {one_line(root)}\n")

    def _settle_items(
        self,
        task_id: int,
        options: TaskOptions,
        items: list[messages.Yielded],
        failure: Failure | None,
    ) -> None:
        told: list[Any] = []
        for item in items:
            self._objects[item.object_id] = _Object(item.value, None, task_id)
            told.append(messages.Streamed(task_id, item.index, item.object_id))
        if options.num_returns == -1:
            told.append(messages.Streamed(task_id, len(items), 0, failure))
            self._waiting[task_id] = told

    def stream(self, task_id: int, callback: Callable[[Any], None] | None) -> None:
        """Tell all items at once: they are made; see `Backend.stream`."""
        told = self._waiting.pop(task_id, [])
        if callback is not None:
            for item in told:
                callback(item)

    def end_stream(self, task_id: int) -> None:
        """Everything was told."""

    def took(self, task_id: int, count: int) -> None:
        """Nobody waits for that."""

    # ---- objects ---------------------------------------------------------------------

    def put(self, value: Any) -> int:
        """Store a copy; see `Backend.put`."""
        try:
            dumped = serialization.dump(value, None)
        except Ended as ended:
            raise ValueError(str(ended)) from None
        except (TypeError, AttributeError, ValueError, RecursionError) as error:
            from burrow_jupyter.engine.unpicklable import explain  # noqa: PLC0415  # for errors only

            raise TypeError(explain(error, value, "the value given to put()")) from None
        object_id = self.mint.next()
        self._objects[object_id] = _Object(self.keep(dumped), None)
        return object_id

    def put_failure(self, failure: Failure) -> int:
        """Store what stands for a value that could not be made."""
        object_id = self.mint.next()
        known = self._objects[object_id] = _Object(None, failure)
        known.asked = True
        self._adopt_all(contained_in(failure))
        return object_id

    def get(self, ids: Sequence[int], timeout_s: float | None) -> list[Any]:
        """Return copies; see `Backend.get`."""
        found = []
        for object_id in ids:
            known = self._objects.get(object_id)
            if known is None:
                raise Failed(ObjectLost(object_id, "nothing held the object any more", "freed"))
            if known.failure is not None:
                known.asked = True
                raise Failed(known.failure)
            found.append(known)
        values: list[Any] = []
        try:
            for known in found:
                assert known.value is not None, "what has not failed has a value"
                values.append(load(known.value))
        except Exception as error:  # noqa: BLE001  # whatever the user's pickles raise
            row = self._ledger.task(found[len(values)].task_id) or {}
            raise Failed(errors.capture_unpickling(error, row.get("name", ""))) from None
        return values

    def ready_among(self, ids: Sequence[int], need: int) -> list[int] | None:
        """Say that all are; see `Backend.ready_among`."""
        return list(range(need))

    def wait(
        self, ids: Sequence[int], need: int, timeout_s: float | None, *, fetch: bool
    ) -> list[bool]:
        """Everything is ready."""
        return [True] * len(ids)

    def paused(
        self, object_ids: Sequence[int], give_up: Callable[[Failure], None] | None = None
    ) -> contextlib.nullcontext[None]:
        """Nobody could use a CPU that is lent."""
        return contextlib.nullcontext()

    def wait_for(
        self,
        done: Callable[[], bool],
        timeout_s: float | None = None,
        object_ids: Sequence[int] = (),
    ) -> bool:
        """Say whether it is so; nothing arrives that could change it."""
        return done()

    def wait_on(
        self, condition: threading.Condition, done: Callable[[], bool], timeout_s: float | None
    ) -> bool:
        """Wait for other threads; nobody is asked anything but where it runs."""
        with condition:
            return condition.wait_for(done, timeout_s)

    def awaits_in(self, loop: asyncio.AbstractEventLoop) -> None:
        """Nobody is asked anything but where it runs."""

    def when_done(
        self,
        object_id: int,
        callback: Callable[[], None],
        awaited: asyncio.Future[Any] | None = None,
        give_up: Callable[[Failure], None] | None = None,
    ) -> int:
        """Call back: it is done."""
        callback()
        return 0

    def was_shown(self, ids: Sequence[int]) -> None:
        """A failure among these needs no notice; see `Backend.was_shown`."""
        for object_id in ids:
            found = self._objects.get(object_id)
            if found is not None:
                found.asked = True

    def awaits_no_more(self, number: int, *, came: bool) -> None:
        """Nothing ever waits."""

    def keep(self, value: Value) -> Value:
        """Count what a value refers to, for as long as an object of it exists."""
        for any_id in value.contained:
            self.adopt(any_id)
        return value

    def adopt(self, any_id: int) -> None:
        """Count one more ref or handle."""
        with self._counting:
            known = self._objects.get(any_id) or self._actors.get(any_id)
            if known is not None:
                known.count += 1

    def drop(self, any_id: int) -> None:
        """Count one less; forget what nothing refers to."""
        with self._counting:
            self._drop(any_id)

    def _drop(self, any_id: int) -> None:
        pending = [any_id]
        while pending:
            gone = pending.pop()
            known = self._objects.get(gone)
            if known is not None:
                known.count -= 1
                if known.count <= 0:
                    del self._objects[gone]
                    if known.failure is not None and not known.asked:
                        self._report(known.failure)
                    pending += (
                        known.value.contained
                        if known.value is not None
                        else contained_in(known.failure)
                    )
                continue
            actor = self._actors.get(gone)
            if actor is not None:
                actor.count -= 1
                if actor.count <= 0 and not actor.options.detached:
                    del self._actors[gone]
                    if actor.failure is None:
                        self._die(actor, "its last handle went out of scope")

    def free(self, ids: Sequence[int]) -> None:
        """Give up values although there are refs."""
        for object_id in ids:
            known = self._objects.get(object_id)
            if known is not None and known.value is not None:
                known.value = None
                text = "the object was freed by free()"
                known.failure = ObjectLost(object_id, text, "freed")

    def cancel(self, object_id: int, *, force: bool, recursive: bool) -> None:
        """Everything has ended already."""

    def cancel_run(self, run_id: int) -> None:
        """As `cancel`."""

    def kill(self, actor_id: int, *, no_restart: bool) -> None:
        """End an actor."""
        actor = self._actors.get(actor_id)
        if actor is not None and actor.failure is None:
            self._die(actor, "it was killed by kill()")

    # ---- state -----------------------------------------------------------------------

    def ask(self, what: str, *args: Any) -> Any:
        """Answer what the scheduler would be asked; see `core.scheduler.queries`."""
        answers: dict[str, Callable[..., Any]] = {
            "totals": lambda: dict(self.totals),
            "available": lambda: dict(self.totals),
            "unfinished calls": lambda actor_id: 0,
            "named actors": self._tell_names,
            "describe tasks": self._describe_tasks,
            "count tasks": self._count_tasks,
            "describe actors": self._describe_actors,
            "describe runs": self._ledger.runs,
            "runs called": self._ledger.runs_called,
            "tasks": self._ledger.tasks,
            "actors": self._tell_actors,
            "objects": self._tell_objects,
            "only mapped": list,
            "workers": self._tell_worker,
            "functions": self._ledger.functions,
            "why": self._why,
            "holdings": lambda actor_id: "",
        }
        return answers[what](*args)

    def _tell_objects(self) -> list[dict[str, Any]]:
        rows = []
        for object_id, known in list(self._objects.items()):
            task = self._ledger.task(known.task_id) or {"name": "", "run": ""}
            rows.append(
                {
                    "id": short(object_id),
                    "state": "failed" if known.failure else "ready",
                    "size_bytes": known.size_bytes,
                    "where": "" if known.value is None else "inline",
                    "refs": known.count,
                    "held_here": True,
                    "held_by_actors": [],
                    "captured_by": [],
                    "task": task["name"],
                    "run": self._ledger.label(task["run"]),
                }
            )
        return rows

    def _tell_actor(self, actor: _Actor) -> dict[str, Any]:
        alive = actor.failure is None
        row = feed.ActorRow(
            id=short(actor.id),
            class_name=actor.options.class_name,
            name=actor.options.name,
            state="alive" if alive else "dead",
            pid=os.getpid() if alive else 0,
            worker=WORKER if alive else "",
            run=short_or_empty(actor.run_id),
            method="",
            queued=0,
            finished=actor.finished,
            restarts=0,
            reason=actor.reason,
            created_at=actor.created_at,
        )
        return asdict(row)

    def _all_actors(self) -> dict[int, _Actor]:
        return {actor.id: actor for actor in [*self._dead, *self._actors.values()]}

    def _tell_actors(self) -> list[dict[str, Any]]:
        return [
            {
                **self._tell_actor(actor),
                "namespace": actor.options.namespace,
                "detached": actor.options.detached,
            }
            for actor in self._all_actors().values()
        ]

    def _tell_worker(self) -> list[dict[str, Any]]:
        row = self._ledger.latest()
        worker = feed.WorkerRow(
            id=WORKER,
            pid=os.getpid(),
            state="idle" if row is None else "busy",
            actor="" if row is None else row.actor,
            task="" if row is None else row.name,
            run="" if row is None else row.run,
            rss_bytes=0,
            cpu_percent=0.0,
            finished=self._ledger.finished,
            started_at=self._ledger.started_at,
            gpus=[],
        )
        return [asdict(worker)]

    def _describe_tasks(self, ids: Sequence[int]) -> list[dict[str, Any]]:
        rows = []
        for object_id in ids:
            known = self._objects.get(object_id)
            row = self._ledger.task(known.task_id if known is not None else object_id)
            row = row or {"id": short(object_id), "state": self._word(object_id)}
            row["exists"] = known is not None
            row["size_bytes"] = known.size_bytes if known is not None else 0
            rows.append(row)
        return rows

    def _word(self, object_id: int) -> str:
        known = self._objects.get(object_id)
        return "unknown" if known is None else ("failed" if known.failure else "finished")

    def _count_tasks(self, ids: Sequence[int]) -> dict[str, Any]:
        rows = self._describe_tasks(ids)
        return {
            "counts": dict(Counter(row["state"] for row in rows)),
            "names": dict(Counter(row["name"] for row in rows if "name" in row)),
        }

    def _describe_actors(self, ids: Sequence[int]) -> list[dict[str, Any]]:
        known = self._all_actors()
        rows: list[dict[str, Any]] = []
        for actor_id in ids:
            actor = known.get(actor_id)
            if actor is None:
                rows.append({"id": short(actor_id), "state": "unknown"})
                continue
            row = self._tell_actor(actor)
            made_in = self._ledger.label(row["run"])
            meta = self._codes[self._classes[actor_id]][1]
            rows.append({**row, "meta": meta, "made_in": made_in})
        return rows

    def _tell_names(self, everywhere: bool, namespace: str) -> list[dict[str, str]]:  # noqa: FBT001  # a question's argument
        return [
            {"name": name, "namespace": space}
            for space, name in self._names
            if everywhere or space == namespace
        ]

    def _why(self, object_id: int) -> str:
        known = self._objects.get(object_id)
        if known is None:
            return "Nobody holds it any more."
        if known.failure is None:
            return "It is there."
        return f"It has failed: {one_line(known.failure).rstrip('.')}."

    def open_run(self, label: str, cell_id: str, message_id: str) -> int:
        """Make a run known; see `Backend.open_run`."""
        run_id = self.mint.next()
        self._ledger.open_run(run_id, label)
        return run_id

    def flush(self) -> None:
        """Nothing waits to be sent."""

    def current(self) -> current.Current:
        """Return what the calling code belongs to."""
        return current.call()

    def abandon(self) -> None:
        """Nothing is shared with the parent: a forked child has its own copy of everything."""

    def close(self) -> None:
        """End the session."""
        self._closed = True
        self._objects.clear()
        self._actors.clear()
        self._names.clear()
        self.loops.close()
