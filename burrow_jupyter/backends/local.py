"""The local backend: this machine's cores, through a head process.

The hot path of `.remote()` and `get`: as few steps as possible between the user's call
and the message in the outgoing batch.
"""

from __future__ import annotations

import pickle
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from burrow_jupyter.backends.code import CodeBook, check_edits_of
from burrow_jupyter.backends.protocol import OLD_SESSION, Ended, Failed
from burrow_jupyter.core import messages
from burrow_jupyter.core.failures import EngineError, ObjectLost, StoreFull
from burrow_jupyter.core.fusing import is_plain
from burrow_jupyter.core.ids import Ref
from burrow_jupyter.core.limits import FUSE_MAX_BYTES
from burrow_jupyter.core.options import STREAMING, ActorOptions
from burrow_jupyter.engine import awaiting, current, errors, seeds, serialization, surroundings
from burrow_jupyter.engine.client import (
    FAILED,
    KNOWN,
    PENDING,
    VALUE,
    Client,
    ConnectionLost,
    Entry,
    GaveUp,
    pieces,
)
from burrow_jupyter.engine.direct import Direct
from burrow_jupyter.engine.modules import local_modules
from burrow_jupyter.engine.store.segments import SegmentLostError, StoreFullError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from burrow_jupyter.core.failures import Failure
    from burrow_jupyter.core.messages import Value
    from burrow_jupyter.core.options import TaskOptions
    from burrow_jupyter.engine.launch import Launched

_Options = TypeVar("_Options", "TaskOptions", ActorOptions)

_dump_plain = serialization.dump_plain
_dumps = pickle.dumps
PLAIN_TYPES = serialization.PLAIN_TYPES
_NOTHING: list[Any] = []
Submit, Call = messages.Submit, messages.Call


class LocalBackend:
    """A session on this machine, as seen by a driver or a worker."""

    name = "local"

    def __init__(
        self,
        client: Client,
        *,
        namespace: str = "",
        launched: Launched | None = None,
        environment: tuple[tuple[tuple[str, str], ...], str] = ((), ""),
    ) -> None:
        """Take part in a session.

        Args:
            client: the connection.
            namespace: of named actors.
            launched: what started the burrow, in the process that did.
            environment: variables and directory that this worker was made with.
        """
        self.client = client
        self.session = client.session
        self.namespace = namespace or client.namespace
        self.totals = client.totals
        self._launched = launched
        self.waits_for_infeasible: bool = client.info.get("infeasible_waits", False)
        self._codes = CodeBook(client.writer, client.put, client.drop)
        driver = launched is not None
        self._direct = client.direct = Direct(client) if driver else None
        if self._direct is not None:
            client.precede = self._direct.precede
        self._born = self._place = surroundings.here() if driver else surroundings.NOWHERE
        self._surroundings = 0
        self._runs_cells = False
        self._modules = local_modules()
        self._edited = False
        """Whether local modules had been edited, and not reloaded, when the run began."""
        self._modules_seen: tuple[int, list[str]] = (0, [])
        self._environment = environment
        self._interned: dict[TaskOptions, int] = {}
        self._next = client.mint.next
        self._entries = client.entries
        self._post = client.post
        self._submit = client.submit
        self.wait_on = client.wait_on
        self.awaits_in = client.awaits_in
        self.let_go = self._codes.let_go
        self.tidy = self._codes.sweep
        self.drop = client.drop
        self.adopt = client.adopt
        self.current = current.call

    @property
    def closed(self) -> bool:
        """Whether the session has ended."""
        return self.client._closed  # noqa: SLF001  # every call asks

    @property
    def untouched(self) -> bool:
        """Whether nothing was ever submitted or stored by this process."""
        return not self._interned and not self._entries

    def flush(self) -> None:
        """Have the head know all that was submitted; see `Backend.flush`."""
        if self._direct is not None:
            self._direct.tell_all()
        self.client.flush()

    # ---- code and options ------------------------------------------------------------

    def define(self, target: Any, name: str, meta: bytes = b"", *, run_id: int = 0) -> int:
        """Pickle a function or class and send it; see `Backend.define`."""

        def send(value: Value, captured: list[int]) -> int:
            code_id = self._next()
            self.client.expect(code_id)
            try:
                self.client.post(messages.DefineCode(code_id, name, value, meta, captured, run_id))
            except BaseException:  # as in `submit`
                self.client.drop(code_id)
                raise
            return code_id

        try:
            return self._codes.find(target, name, meta, send, in_cell=self._runs_cells)
        except StoreFullError as error:
            raise _no_room(f"{name}, its code and what it uses,", error) from None

    def set_up(
        self, function: Callable[[], object], name: str, *, run_id: int = 0, key: str = ""
    ) -> int:
        """Have every worker call a function once; see `Backend.set_up`."""
        code_id = self.define(function, name, run_id=run_id)
        if self._direct is not None:
            self._direct.leave_all()
        self.client.post(messages.Setup(code_id, run_id, key))
        self._codes.let_go(code_id)
        return code_id

    def intern(self, options: TaskOptions) -> int:
        """Return the id of these options, the same for equal ones."""
        options_id = self._interned.get(options)
        if options_id is None:
            options_id = self._next()
            self.client.post(messages.DefineOptions(options_id, self._inherited(options)))
            self._interned[options] = options_id  # not before: we may be interrupted
        return options_id

    def _inherited(self, options: _Options) -> _Options:
        """Add the environment that this worker was made with, where the options have none."""
        env_vars, directory = self._environment
        if not env_vars and not directory:
            return options
        return msgspec.structs.replace(
            options,
            env_vars=tuple(sorted({**dict(env_vars), **dict(options.env_vars)}.items())),
            working_dir=options.working_dir or directory,
        )

    # ---- tasks and actors ------------------------------------------------------------

    def _pack(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Value, list[int], list[int | str]]:
        """Pickle arguments; refs among them become dependencies."""
        deps: list[int] = []
        slots: list[int | str] = []
        plain = not seeds.active
        for position, value in enumerate(args):
            if type(value) in PLAIN_TYPES:
                continue
            plain = False
            if isinstance(value, Ref):
                self._check(value)
                deps.append(value.id)
                slots.append(position)
        for key, value in kwargs.items():
            if type(value) in PLAIN_TYPES:
                continue
            plain = False
            if isinstance(value, Ref):
                self._check(value)
                deps.append(value.id)
                slots.append(key)
        if deps:
            args = tuple(None if isinstance(a, Ref) else a for a in args)
            kwargs = {k: v for k, v in kwargs.items() if not isinstance(v, Ref)}
        if self._edited and not plain:
            named = {f"argument {at + 1} of {name}": value for at, value in enumerate(args)}
            check_edits_of(named | {f"argument {k}= of {name}": v for k, v in kwargs.items()})
        try:
            if plain:
                return _dump_plain((args, kwargs), self.client.writer), deps, slots
            seed = seeds.for_next_call() if seeds.active else 0
            packed = (args, kwargs, seed) if seed else (args, kwargs)
            return self.client.dump(packed), deps, slots
        except Ended:
            raise
        except StoreFullError as error:
            raise _no_room(f"the arguments of {name}", error) from None
        except serialization.TooManyRefsError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever the user's objects raise
            for position, value in enumerate(args):
                _check_argument(value, f"argument {position + 1} of {name}")
            for key, value in kwargs.items():
                _check_argument(value, f"argument {key}= of {name}")
            raise _unpicklable(error, (args, kwargs), f"the arguments of {name}") from None

    def _check(self, ref: Ref) -> None:
        if ref.session != self.session:
            raise Ended(OLD_SESSION)
        entry = self._entries.get(ref.id)
        if entry is not None:
            entry.asked = True  # the task that gets it will say how it failed

    def submit(
        self,
        code_id: int,
        options_id: int,
        options: TaskOptions,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        run_id: int,
    ) -> int:
        """Submit a task; see `Backend.submit`."""
        direct = self._direct
        if direct is not None and not kwargs and not seeds.active and direct.tasks.way is None:
            # The usual call, with as little as may be between it and its message.
            for value in args:
                kind = type(value)
                if kind not in PLAIN_TYPES or (kind is str and len(value) > FUSE_MAX_BYTES):
                    break  # large text would be pickled twice
            else:
                data = _dumps((args, kwargs), 5) if args else b""
                if (
                    len(data) <= FUSE_MAX_BYTES
                    and options.num_returns == 1
                    and not direct.to_cancel
                ):
                    return self._submit_plain(direct, code_id, options_id, options, data, run_id)
        packed = None
        deps = slots = _NOTHING
        if args or kwargs or seeds.active:
            packed, deps, slots = self._pack(options.name, args, kwargs)
        if direct is not None and not deps:
            if direct.tasks.way is not None:
                task_id = direct.task(code_id, options_id, packed, run_id)
                if task_id:
                    return task_id
            if (
                options.num_returns == 1
                and not direct.to_cancel
                and (packed is None or is_plain(packed))
            ):
                data = b"" if packed is None else packed.data
                return self._submit_plain(direct, code_id, options_id, options, data, run_id)
        task_id = self._new_results(options.num_returns)
        parent = current.call().task_id
        submit = Submit(task_id, code_id, options_id, packed, deps, slots, run_id, parent)
        if direct is not None and direct.to_cancel and direct.to_cancel == run_id:
            self._post_cancelled(submit, direct)
            return task_id
        try:
            self._post(submit)
        except BaseException:  # an interrupt: nobody gets the refs that were counted
            self._drop_results(task_id, options.num_returns)
            raise
        if direct is not None:
            direct.submitted(task_id, code_id, options_id, options, run_id)
        return task_id

    def _submit_plain(
        self,
        direct: Direct,
        code_id: int,
        options_id: int,
        options: TaskOptions,
        data: bytes,
        run_id: int,
    ) -> int:
        """Submit a call that is nothing but its pickled arguments, b"" without any."""
        task_id = self._next()
        self._entries[task_id] = Entry(PENDING)
        try:
            joins = self._submit(task_id, code_id, options_id, run_id, data)
        except BaseException:  # as in `submit`
            self.drop(task_id)
            raise
        if joins:
            direct.tasks.row = 0  # the one before is not even sent: no single calls
        else:
            direct.submitted(task_id, code_id, options_id, options, run_id)
        return task_id

    def _post_cancelled(self, message: messages.Submit | messages.Call, direct: Direct) -> None:
        """Submit a call of a run that was stopped: it is cancelled before it can begin."""
        direct.to_cancel = 0
        self.client.flush()
        self.client.unsent += [message, messages.Cancel(message.task_id)]
        self.client.flush()

    def _new_results(self, count: int) -> int:
        if count == 1:
            task_id = self._next()
            self._entries[task_id] = Entry(PENDING)
            return task_id
        streams = count == STREAMING
        if count < 0:
            count = 1
        task_id = self.client.mint.block(count)
        if streams:
            self.client.expect_stream(task_id)
        for object_id in range(task_id, task_id + count):
            self._entries[object_id] = Entry(PENDING)
        return task_id

    def _drop_results(self, task_id: int, count: int) -> None:
        for object_id in range(task_id, task_id + (count if count >= 0 else 1)):
            self.drop(object_id)
        if count == STREAMING:
            self.client.end_stream(task_id)

    def create_actor(
        self,
        code_id: int,
        options: ActorOptions,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        run_id: int,
    ) -> int:
        """Make an actor; see `Backend.create_actor`."""
        packed = None
        deps = slots = _NOTHING
        if args or kwargs or seeds.active:
            packed, deps, slots = self._pack(f"{options.class_name}()", args, kwargs)
        actor_id = self._next()
        parent = current.call().task_id
        message = messages.CreateActor(
            actor_id, code_id, self._inherited(options), packed, deps, slots, run_id, parent
        )
        if not options.name:
            self._entries[actor_id] = Entry(PENDING)
            try:
                self._post(message)
            except BaseException:  # as in `submit`
                self.drop(actor_id)
                raise
            return actor_id
        # Handles that have died are told of first: one of the same name may be a last one.
        self.client.flush()
        try:
            found: int = self.client.answer_to(message, actor_id)
        except KeyboardInterrupt:
            self.client.abandoned.add(actor_id)
            raise
        entry = self._entries.get(found)
        if entry is None:
            self._entries[found] = Entry(PENDING)
        else:
            entry.count += 1
        return found

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
        """Call a method; see `Backend.call_actor`."""
        packed = None
        deps = slots = _NOTHING
        if args or kwargs or seeds.active:
            packed, deps, slots = self._pack(options.name, args, kwargs)
        direct = self._direct
        if direct is not None and not deps and not code_id and options.num_returns == 1:
            task_id = direct.call(actor_id, method, options_id, packed, run_id, retries)
            if task_id:
                return task_id
        task_id = self._new_results(options.num_returns)
        parent = current.call().task_id
        call = Call(
            task_id, actor_id, method, options_id, packed, deps, slots, run_id, parent, retries
        )
        if code_id:
            call.code_id = code_id
        if direct is not None and direct.to_cancel and direct.to_cancel == run_id:
            self._post_cancelled(call, direct)
            return task_id
        try:
            self._post(call)
        except BaseException:  # as in `submit`
            self._drop_results(task_id, options.num_returns)
            raise
        if direct is not None:
            direct.called(task_id, actor_id, options_id, options)
        return task_id

    def named_actor(self, name: str, namespace: str) -> tuple[int, bytes, ActorOptions]:
        """Look an actor up; see `Backend.named_actor`."""
        found = self.client.ask("named actor", name, namespace)
        options = msgspec.convert(found["options"], ActorOptions)
        return found["actor"], found["meta"], options

    # ---- objects ---------------------------------------------------------------------

    def put(self, value: Any) -> int:
        """Store a value; see `Backend.put`."""
        if self._runs_cells and not self._modules.looked:  # a cell that only puts is no run
            self._look_for_edits()
        if self._edited:
            check_edits_of({"the value given to put()": value})
        try:
            return self.client.put(value)
        except Ended as ended:
            raise ValueError(str(ended)) from None
        except StoreFullError as error:
            raise _no_room("the value given to put()", error) from None
        except (TypeError, AttributeError, ValueError, RecursionError) as error:
            raise _unpicklable(error, value, "the value given to put()") from None

    def get(self, ids: Sequence[int], timeout_s: float | None) -> list[Any]:
        """Return values in order; see `Backend.get`."""
        client = self.client
        try:
            entries = client.get(ids, timeout_s, _waiting_task(client, ids))
        except ConnectionLost as lost:
            raise Failed(EngineError(f"the burrow has ended: {lost}")) from None
        if entries[0].state == FAILED:
            failure = entries[0].failure
            assert failure is not None, "a failed entry says why"
            raise Failed(failure)
        values: list[Any] = []
        try:
            for entry in entries:
                values.append(client.value_of(entry))  # noqa: PERF401  # their number is looked at
        except SegmentLostError as lost:
            raise Failed(ObjectLost(ids[len(values)], str(lost))) from None
        except Exception as error:  # noqa: BLE001  # whatever the user's pickles raise
            name = self._maker_of(ids[len(values)])
            raise Failed(errors.capture_unpickling(error, name)) from None
        return values

    def _maker_of(self, object_id: int) -> str:
        """Return the name of the task that has made an object, "" where that cannot be told."""
        if threading.get_ident() in self.client.calling:
            return ""
        try:
            return str(self.client.ask("describe tasks", [object_id])[0].get("name", ""))
        except ConnectionLost:
            return ""

    def ready_among(self, ids: Sequence[int], need: int) -> list[int] | None:
        """Look at what is known here; see `Backend.ready_among`."""
        entries = self._entries
        found: list[int] = []
        for position, object_id in enumerate(ids):
            state = entries[object_id].state
            if state not in (PENDING, KNOWN):
                found.append(position)
                if len(found) == need:
                    return found
        return None

    def wait(
        self, ids: Sequence[int], need: int, timeout_s: float | None, *, fetch: bool
    ) -> list[bool]:
        """Wait for `need` of the objects; see `Backend.wait`."""
        try:
            task_id = _waiting_task(self.client, ids)
            return self.client.wait(ids, need, timeout_s, task_id, fetch=fetch)
        except GaveUp as gave_up:
            raise Failed(gave_up.failure) from None
        except ConnectionLost as lost:
            raise Failed(EngineError(f"the burrow has ended: {lost}")) from None

    def stream(self, task_id: int, callback: Callable[[Any], None] | None) -> None:
        """Have each item of a generator told; see `Backend.stream`."""
        self.client.stream(task_id, callback)

    def end_stream(self, task_id: int) -> None:
        """Nobody wants more items; see `Backend.end_stream`."""
        self.client.end_stream(task_id)

    def took(self, task_id: int, count: int) -> None:
        """Tell a generator that waits for its consumer; see `Backend.took`."""
        self.client.post(messages.StreamCredit(task_id, count))
        self.client.flush()

    def when_done(
        self,
        object_id: int,
        callback: Callable[[], None],
        awaited: asyncio.Future[Any] | None = None,
        give_up: Callable[[Failure], None] | None = None,
    ) -> int:
        """Call back when an object is there; see `Backend.when_done`."""
        task_id = _caller() if awaited is not None else 0
        number = self.client.when_done(object_id, callback, task_id, give_up)
        if awaited is not None and number:
            awaiting.watch(self.client, awaited, task_id, number)
        return number

    def was_shown(self, ids: Sequence[int]) -> None:
        """A failure among these needs no notice; see `Backend.was_shown`."""
        self.client.needs_no_notice(ids)

    def awaits_no_more(self, number: int, *, came: bool) -> None:
        """One wait of the running task is over; see `Backend.awaits_no_more`."""
        if number:
            self.client.awaits_no_more(0 if came else _caller(), number)

    def paused(
        self, object_ids: Sequence[int], give_up: Callable[[Failure], None] | None = None
    ) -> AbstractContextManager[None]:
        """Lend the running task's CPU; see `Backend.paused`."""
        return self.client.paused(_caller(), object_ids, give_up)

    def wait_for(
        self,
        done: Callable[[], bool],
        timeout_s: float | None = None,
        object_ids: Sequence[int] = (),
    ) -> bool:
        """Wait, reading, until `done()`; see `Backend.wait_for`."""
        client = self.client
        given_up: list[Failure] = []
        try:
            if not object_ids:
                return client.wait_for(done, timeout_s)
            give_up = given_up.append if timeout_s is None else None
            with client.paused(_caller(), object_ids, give_up):
                came = client.wait_for(lambda: done() or bool(given_up), timeout_s)
        except ConnectionLost as lost:
            raise Failed(EngineError(f"the burrow has ended: {lost}")) from None
        if given_up and not done():
            raise Failed(given_up[0])
        return came

    def cancel(self, object_id: int, *, force: bool, recursive: bool) -> None:
        """Cancel the task that makes an object."""
        self.client.post(messages.Cancel(object_id, force, recursive))
        self.client.flush()

    def cancel_run(self, run_id: int) -> None:
        """Cancel everything that one run has launched."""
        self.client.post(messages.CancelRun(run_id))
        self.client.flush()

    def kill(self, actor_id: int, *, no_restart: bool) -> None:
        """End an actor's process."""
        if self._direct is not None:
            self._direct.leave(actor_id)
        self.client.post(messages.Kill(actor_id, no_restart))
        self.client.flush()

    def free(self, ids: Sequence[int]) -> None:
        """Give up values although there are refs."""
        for object_id in ids:
            entry = self._entries.get(object_id)
            if entry is not None and entry.value is not None:
                value, entry.value = entry.value, None
                entry.state = KNOWN
                if value.segment:
                    self.client.release_segment(value.segment)
        for piece in pieces(list(ids)):
            self.client.post(messages.Free(piece))
        self.client.flush()

    # ---- state -----------------------------------------------------------------------

    def ask(self, what: str, *args: Any) -> Any:
        """Ask the head; see `core.scheduler.queries`."""
        if self._direct is not None and what == "available":
            self._direct.give_back()
        if what == "only mapped":
            args = (self.client.reader.mapped(),)
        return self.client.ask(what, *args)

    def open_run(self, label: str, cell_id: str, message_id: str) -> int:
        """Make a run known; return its id."""
        run_id = self._next()
        self._runs_cells = True
        self._look_for_edits()
        surroundings = self._follow()
        self.client.post(messages.DefineRun(run_id, label, cell_id, message_id, surroundings))
        return run_id

    def _look_for_edits(self) -> None:
        """Look once a run whether modules were edited; actors look whether they have older ones."""
        edited = self._modules.edited()
        self._edited = bool(edited)
        seen = self._modules.changes, edited
        if seen != self._modules_seen:
            self._modules_seen = seen
            self.client.post(messages.ModulesEdited())

    def _follow(self) -> int:
        """Make known where this process is, if that has changed since the last run."""
        now = surroundings.here()
        if now != self._place:
            self._place = now
            changed, removed = surroundings.difference(self._born, now)
            dropped = [folder for folder in self._born.path if folder not in now.path]
            self._surroundings = self._next()
            self.client.post(
                messages.Surroundings(
                    self._surroundings, now.directory, now.path, changed, removed, dropped
                )
            )
        return self._surroundings

    def abandon(self) -> None:
        """Leave the session to the parent, in a child that user code has forked."""
        self.client.abandon()

    def close(self) -> None:
        """End the session; returns when everything of it is gone."""
        if self._launched is not None:
            self._launched.stop()
        else:
            self.client.close()


def _waiting_task(client: Client, ids: Sequence[int]) -> int:
    """Return the call that waits; the head frees the CPU of a task, and knows it of an actor."""
    now = current.call()
    if now.actor_id and current.facts.actor_options.is_async and "asyncio" in sys.modules:
        entries = client.entries
        if any(entries[object_id].state not in (VALUE, FAILED) for object_id in ids):
            _warn_in_loop()  # what was awaited is there when it is got
    return now.task_id or now.actor_id


def _caller() -> int:
    """Return the call that runs, or the actor whose constructor does; 0 in a driver."""
    now = current.call()
    return now.task_id or now.actor_id


def _warn_in_loop() -> None:
    """Say that waiting in an async actor's loop stops all its calls."""
    if sys.modules["asyncio"]._get_running_loop() is not None:  # noqa: SLF001  # get_running_loop() raises
        text = "get() or wait() in an async actor blocks all its calls; await the refs instead"
        warnings.warn(text, RuntimeWarning, stacklevel=5)


def _check_argument(value: Any, what: str) -> None:
    try:
        serialization.dump(value, None)
    except Exception as error:  # noqa: BLE001  # whatever the user's objects raise
        raise _unpicklable(error, value, what) from None


def _no_room(what: str, error: StoreFullError) -> Failed:
    return Failed(StoreFull(f"{what} could not be stored", str(error)))


def _unpicklable(error: Exception, value: Any, what: str) -> TypeError:
    from burrow_jupyter.engine.unpicklable import explain  # noqa: PLC0415  # for errors only

    return TypeError(explain(error, value, what))
