"""A worker's life: take a call, run it, say how it ended. One task at a time, or one actor.

The main thread runs the user's code; while it does, the client's attendant hears what
cannot wait: what is held ahead is wanted back, a task is to be interrupted. An interrupt
is a KeyboardInterrupt in the main thread, raised only while the very task runs that it
was meant for, never in our own machinery.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import pickle
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from burrow_jupyter.core import messages
from burrow_jupyter.core.failures import Cancelled, Failure
from burrow_jupyter.core.fusing import is_plain
from burrow_jupyter.core.ids import STRIDE, Ref, short
from burrow_jupyter.core.limits import (
    BATCH_MAX_DELAY_S,
    BATCH_MAX_MESSAGES,
    FUSE_MAX_BYTES,
    RIDE_MAX_BYTES,
    RIDE_RESULTS_MAX,
)
from burrow_jupyter.core.messages import Value
from burrow_jupyter.engine import current, errors, generators, holdings, processes, seeds, transport
from burrow_jupyter.engine.client import Client, ConnectionLost
from burrow_jupyter.engine.current import EXITED_WITH_0, TERMINATED, ExitActor
from burrow_jupyter.engine.debugging import Debugging
from burrow_jupyter.engine.door import Door
from burrow_jupyter.engine.execute import (
    AS_THEY_ARE,
    Call,
    after_call,
    arguments,
    creation_options,
    repr_of,
    threads_for,
)
from burrow_jupyter.engine.journal import ENTRY_MAX_BYTES, Journal
from burrow_jupyter.engine.modules import local_modules
from burrow_jupyter.engine.output import Output
from burrow_jupyter.engine.serialization import PLAIN_TYPES
from burrow_jupyter.engine.surroundings import Follower

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine

    from burrow_jupyter.core.options import ActorOptions, TaskOptions
    from burrow_jupyter.engine.side_by_side import SideBySide

dumps = pickle.dumps
perf_counter_ns = time.perf_counter_ns
monotonic = time.monotonic

_NOTHING: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})
"""The arguments of a call without any."""


SHUTDOWN = "__ray_shutdown__"
SHUTDOWN_WITHIN_S = 5.0
ALARM_AGAIN_S = 0.1
"""After how long the alarm of a call whose time is up is sent again, as interrupts are: until the
call has seen it."""


class _OutOfTimeError(BaseException):
    """Raised in a task that runs longer than its `timeout=`."""


class Worker:
    """One worker process."""

    def __init__(
        self, sock: socket.socket, worker_id: int, gpus: tuple[str, ...], store_dir: str
    ) -> None:
        # Before we say hello: one that has no room for it counts as one that cannot start.
        self.journal = Journal(store_dir, worker_id)
        current.facts.in_worker = True
        current.facts.worker_id = worker_id
        current.facts.gpus = gpus
        current.facts.pid = os.getpid()
        current.facts.keep = self.keep
        self._code_messages: dict[int, messages.Code] = {}
        self._codes: dict[int, Any] = {}
        self._options: dict[int, TaskOptions] = {}
        self._runs_of: dict[int, int] = {}
        self._unsent = 0  # ends that were noted
        self._joined = 0  # of them, those that are in one message with the one before
        self._due = 0  # the task that would follow the last of that message
        self._in_user = False
        self._stop_after = ""
        self._exiting = False
        self.actor: Any = None
        self.wrap_ref: Callable[[int], Any] = lambda object_id: object_id
        """Makes what user code sees as a ref; set by the main."""
        self.wrap_refs: Callable[[list[Any]], Any] = list
        """Makes what user code sees as the refs of a generator, likewise."""
        self._follower = Follower()
        self.modules = local_modules()
        self._run_id = 0
        self._is_older = False
        """Whether the head knows of this actor that it has modules that were edited since."""
        self._title = 0
        self._plain_id = 0
        """The last options, if calls that have them are plain ones."""
        self._side_by_side: SideBySide | None = None
        self._credits: dict[int, int] = {}
        self._made: dict[int, Value | bytes] = {}
        self._taken: Any = None
        """The message that is worked on."""
        self._cancelled_early = 0
        """A call that was taken, and cancelled before it had begun."""
        self._to_interrupt = current.NOTHING
        """The call in which the next interrupt is to be raised."""
        hello = messages.Hello("worker", os.getpid(), worker_id)
        self.client = Client(sock, hello, self._urgent)
        self.client.shield.own = True
        self.client.shield.raises = lambda: self._in_user
        self.output = Output(self.client, worker_id)
        self.client.on_attend = self._attend
        self.debugging = Debugging(self.client)
        self.door = Door(self.client, worker_id)
        signal.signal(signal.SIGINT, self._on_sigint)
        signal.signal(signal.SIGALRM, self._on_alarm)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.client.start()

    # ---- the loop --------------------------------------------------------------------

    def run(self) -> None:
        """Work until the head says to end, or is gone."""
        inbox = self.client.inbox
        with contextlib.suppress(ConnectionLost):
            while not self._exiting:
                message = self._take()
                if message is None:
                    self._send()
                    self.client.wait_until(lambda: bool(inbox) or self._exiting)
                    continue
                kind = type(message)
                if kind is messages.Run:
                    self._run(message)
                elif kind is messages.BecomeActor:
                    self._become(message)
                elif kind is messages.Surroundings:
                    self._follower.follow(message)
                elif kind is messages.Setup:
                    self._set_up(message)
                elif kind is messages.ModulesEdited:
                    self._look_for_edits()
                elif kind is messages.ForgetCode:
                    self._forget_code(message.code_id)
                elif kind is messages.Exit:
                    break
            self._finish()

    def _take(self) -> Any:
        """Return what is to be done next, `None` if there is nothing.

        What is taken is noted while it is still in the inbox, so that whoever interrupts it finds
        it in one of the two at any time.
        """
        inbox = self.client.inbox
        while inbox:
            try:
                taken = self._taken = inbox[0]
                message = inbox.popleft()
            except IndexError:  # the last one was given back, or cancelled, just now
                break
            if message is taken:
                return message
            inbox.appendleft(message)
        return None

    def _set_up(self, setup: messages.Setup) -> None:
        """Call what every worker is to call first; the cell that asked for it hears how it went."""
        self._send()  # this may take long
        self._follower.go_back()
        now = current.Current(setup.code_id, setup.run_id)
        if setup.run_id:
            now.prefix = f"[worker {os.getpid()}] ".encode()
        current.set_process_wide(now)
        self.journal.begin(setup.code_id)
        failure: Failure | None = None
        try:
            self._in_user = True
            self.code(setup.code_id)()
            self._in_user = False
        except BaseException as error:  # noqa: BLE001  # the border of the user's code
            self._in_user = False
            failure = Cancelled(setup.code_id)
            if not now.cancelled:
                failure = errors.capture(
                    error,
                    function="setup",
                    task_id=setup.code_id,
                    run_id=setup.run_id,
                )
            if not setup.run_id:
                print(f"a worker could not be set up: {error!r}", file=sys.stderr)  # noqa: T201
        self._follower.stay()  # what it sets is for all that follows
        self.output.end_of_call(now)
        if setup.run_id:
            self.client.post(messages.Prepared(setup.code_id, setup.run_id, os.getpid(), failure))
        current.set_process_wide(current.NOTHING)
        self.journal.begin(0)
        self._send()

    def _finish(self) -> None:
        """End in order: the user's own clean-up has its turn, with a bound."""

        def clean_up() -> None:
            if self.actor is None:
                return
            if hasattr(self.actor, SHUTDOWN):
                try:
                    getattr(self.actor, SHUTDOWN)()
                except BaseException as error:  # noqa: BLE001  # the actor ends all the same
                    print(f"{SHUTDOWN} raised {error!r}", file=sys.stderr)  # noqa: T201
            # The end of the process, which is an os._exit, would skip these and `__del__`.
            atexit._run_exitfuncs()  # noqa: SLF001  # there is no public way
            self.actor = None

        thread = threading.Thread(target=clean_up, name="burrow-shutdown", daemon=True)
        thread.start()
        thread.join(SHUTDOWN_WITHIN_S)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        self._send()

    def keep(self, call: current.Current, error: BaseException) -> bool:
        """Keep the frames of what was raised for a debugger, or say that they are not kept."""
        return self.debugging.keep(call, error)

    def wake(self) -> None:
        """Have the main thread look whether it is to end; from any thread."""
        self.client.inbox.append(messages.Exit("it ended itself"))
        self.client.interrupt_wait()

    def _send(self) -> None:
        """Send what has been noted."""
        self.client.flush()
        self.journal.clear()
        self._unsent = self._joined = 0

    # ---- what cannot wait ------------------------------------------------------------

    def _urgent(self, message: Any) -> None:
        kind = type(message)
        if kind is messages.Code:
            for value in (message.value, *message.captured):
                self.client.receive_value(value)
            self._code_messages[message.code_id] = message
        elif kind is messages.Options:
            self._options[message.options_id] = message.options
        elif kind is messages.TakeBack:
            self._give_back()
        elif kind is messages.Interrupt:
            self._interrupt(message.task_id)
        elif kind is messages.StreamCredit:
            self._credits[message.task_id] = message.taken
        elif kind is messages.Where:
            said = self._where(message.task_id) if message.task_id else self._holdings()
            self.client.post(messages.Here(message.number, said))
            self.client.flush()
        elif kind is messages.Debug:
            self.debugging.on_message(message)
        elif kind is messages.ForgetFailures:
            self.debugging.forget()
        elif kind is messages.Adopt:
            self.door.calls.pop(message.task_id, None)
        elif kind is messages.Admit:
            self.door.admit(message)
        elif kind is messages.Reclaim:
            self.door.reclaim()

    def _where(self, any_id: int) -> str:
        """Return the user's frames of a call that runs, or, by its actor's id, of a constructor."""
        if self._side_by_side is not None:
            found = self._side_by_side.where(any_id)
            if found:
                return found
        now = current.process_wide
        if (now.task_id or now.actor_id) != any_id:
            return ""
        return errors.stack_of(threading.main_thread().ident or 0)

    def _holdings(self) -> str:
        """Return where in the actor refs lie: the object's id, a tab and the way to it, a line each."""
        if self.actor is None:
            return ""
        found = holdings.find({type(self.actor).__name__: self.actor}, Ref)
        return "\n".join(f"{short(ref.id)}\t{path}" for path, ref in found)

    def _give_back(self) -> None:
        """Give back what has not begun; the main thread takes from the other end."""
        inbox = self.client.inbox
        returned: list[int] = []
        kept: list[Any] = []
        while True:
            try:
                message = inbox.pop()
            except IndexError:
                break
            if type(message) is messages.Run:
                # What the head did not send may be nobody's to it: refused, it is begun anew.
                if not self.door.refuse(message.task_id):
                    returned.append(message.task_id)
                self._discard(message)
            else:
                kept.append(message)
        inbox.extendleft(kept)
        returned.reverse()
        self.client.post(messages.Returned(returned))
        self.client.flush()

    def _discard(self, run: messages.Run) -> None:
        """Let go of the segments of a call that will not run here."""
        names = [v.segment for v in (*run.values, run.args) if v is not None and v.segment]
        if names:
            self.client.post(messages.Unmapped(names))

    def _interrupt(self, task_id: int) -> None:
        inbox = self.client.inbox
        for message in list(inbox):
            if type(message) is messages.Run and message.task_id == task_id:
                try:
                    inbox.remove(message)
                except ValueError:
                    break  # it has just begun
                self._discard(message)
                name = self._options[message.options_id].name
                self.client.post(messages.Done(task_id, [], Cancelled(task_id, name)))
                self.client.flush()
                return
            if type(message) is messages.Setup and message.code_id == task_id:
                with contextlib.suppress(ValueError):  # it has just begun
                    inbox.remove(message)
                    return
        if type(self._taken) is messages.Run and self._taken.task_id == task_id:
            # Noted before we look whether it runs: whoever begins it looks in the other order.
            self._cancelled_early = task_id
        if self._side_by_side is not None:
            self._side_by_side.interrupt(task_id)
            return
        running = current.process_wide
        if running.task_id == task_id:
            running.cancelled = True
            if self.actor is None and self._in_user:
                self._to_interrupt = running
                self._signal()

    def _signal(self) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    def _attend(self) -> float | None:
        """What the attendant does in each round; returns when it is to do so again."""
        if self._to_interrupt is not current.NOTHING:
            if self._to_interrupt is current.process_wide and self._in_user:
                # A signal that comes between Python's last look and the system call that waits
                # ends no wait, and its handler runs when the wait is over: so it is sent again.
                self._signal()
            else:
                self._to_interrupt = current.NOTHING
        return self.output.attend()

    def _on_sigint(self, number: int, frame: Any) -> None:
        """Raise in the task that is to be cancelled, and nowhere else."""
        if self._in_user and self._to_interrupt is current.process_wide:
            self.client.shield.take(self._raise_in_user)

    def _on_alarm(self, number: int, frame: Any) -> None:
        """Raise in the task whose time is up; an alarm of its own does what it does in Python."""
        options = current.process_wide.options
        if options is None or not options.timeout_s:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGALRM)
        elif self._in_user:
            self.client.shield.take(self._raise_time_is_up)

    def _raise_in_user(self) -> None:
        if self._in_user and self._to_interrupt is current.process_wide:
            self._to_interrupt = current.NOTHING
            raise KeyboardInterrupt

    def _raise_time_is_up(self) -> None:
        if self._in_user:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise _OutOfTimeError

    # ---- running ---------------------------------------------------------------------

    def _run(self, run: messages.Run) -> None:
        """Run a call in the main thread, or hand it to the threads or the loop of its actor."""
        if self.door.calls and not self._may_run(run):
            return
        options = self._options[run.options_id]
        if self._side_by_side is not None:
            if run.run_id != self._run_id:
                self._run_id = run.run_id
                self._look_for_edits()
            self._side_by_side.submit(run, options)
            if self._cancelled_early == run.task_id:
                self._side_by_side.interrupt(run.task_id)
            return
        if self.actor is not None and run.method == messages.TERMINATE:
            self.leave_actor(TERMINATED)
            return
        if None in run.values and not self._have_ridden(run):
            return
        if run.run_id != self._run_id:
            self._run_id = run.run_id
            self.debugging.forget()
            if self.actor is not None:
                self._look_for_edits()
            elif self.modules.edited():
                self._retire_for_edits(run)
                return
            else:
                self._follower.go_back()
        if run.options_id == self._plain_id and not run.values:
            self._run_plain(run, options)
            return
        now = current.Current(run.task_id, run.run_id, current.facts.actor_id, run.attempt, options)
        current.set_process_wide(now)
        self.journal.begin(run.task_id)
        if run.options_id != self._title:
            self._title = run.options_id
            processes.set_title(f"burrow::{options.name}")
            self._plain_id = run.options_id if self.actor is None and _are_plain(options) else 0
        call = Call(self, run, options, now)
        try:
            early = self._cancelled_early == run.task_id
            done = call.cancelled() if early else self._attempt(call)
        except KeyboardInterrupt:
            # The interrupt came between the user's last step and ours.
            self._in_user = False
            done = call.cancelled()
        except ExitActor as leaving:
            current.set_process_wide(current.NOTHING)
            self.leave_actor(leaving.reason)
            return
        call.look_after()
        self.debugging.end_of_call(now)
        if options.max_calls:
            count = self._runs_of[run.code_id] = self._runs_of.get(run.code_id, 0) + 1
            if count >= options.max_calls:
                # Said before the end of the task, so that the head sends nothing more.
                self.client.post(messages.Retiring())
                self._give_back()
                self._exiting = True
        if not self.client.inbox or self.output.written or self._next_run() != run.run_id:
            # Between short tasks of one cell nobody could tell whose C code has written what.
            self.modules.note()
            self.output.end_of_call(now)
        if self.actor is None and len(done.values) == 1:
            self._keep_made(run.task_id, done.values[0])
        self._end_task(done, flush=self._exiting)
        call.forget()
        current.set_process_wide(current.NOTHING)

    def _may_run(self, run: messages.Run) -> bool:
        """Refuse a direct call that is not to be run here, or for which something lacks."""
        door = self.door
        for look in (True, False):
            if (
                door.is_open_to(run.task_id)
                and run.options_id in self._options
                and (run.method or run.code_id in self._code_messages)
            ):
                door.running = run.task_id
                return True
            if look:
                self.client.look()  # the head may have sent it
        door.refuse(run.task_id)
        return False

    def _have_ridden(self, run: messages.Run) -> bool:
        """Fill in arguments that were made here; give the task back if one was not."""
        for at, value in enumerate(run.values):
            if value is None:
                made = self._made.get(run.deps[at])
                if type(made) is bytes:
                    made = Value(made)
                if made is None:  # its maker failed, or was cancelled
                    self._discard(run)
                    self.client.post(messages.Returned([run.task_id]))
                    self._send()
                    return False
                run.values[at] = made  # type: ignore[assignment]  # no bytes any more
        return True

    def _keep_made(self, task_id: int, value: Value | bytes) -> None:
        """Keep a small result for a while: what rides behind its task needs it."""
        if type(value) is Value and (value.segment or len(value.data) > RIDE_MAX_BYTES):
            return
        made = self._made
        made[task_id] = value
        if len(made) > 2 * RIDE_RESULTS_MAX:
            for old in list(made)[:RIDE_RESULTS_MAX]:
                del made[old]

    def _next_run(self) -> int:
        """Return the run of what is to be done next."""
        try:
            return int(self.client.inbox[0].run_id)
        except (AttributeError, IndexError):
            return -1

    def _retire_for_edits(self, run: messages.Run) -> None:
        """End, and leave the work to a fresh worker that loads the modules as they are now."""
        self.door.adopt(run.task_id)
        self.client.post(messages.Retiring())
        self._give_back()
        self._discard(run)
        self.client.post(messages.Returned([run.task_id]))
        self._send()
        self._exiting = True

    def _look_for_edits(self) -> None:
        """Tell the head if the actor has begun, or ceased, to have modules older than their files."""
        is_older = self.actor is not None and bool(self.modules.edited())
        if is_older != self._is_older:
            self._is_older = is_older
            self.client.post(messages.ModulesEdited(current.facts.actor_id, is_older))
            self.client.flush()

    def renew_modules(self) -> None:
        """Load the actor's edited modules anew, and with them the code that was made of them.

        Raises:
            RuntimeError: one cannot be reloaded.
        """
        if self.modules.edited():
            try:
                self.modules.reload()
            finally:
                self._codes.clear()
                self._look_for_edits()

    def _attempt(self, call: Call) -> messages.Done:
        failed = call.prepare()
        if failed is not None:
            return failed
        options = call.options
        timer = options.timeout_s > 0
        try:
            with threads_for(options.shape):
                if timer:
                    # An earlier call may have a handler of its own.
                    signal.signal(signal.SIGALRM, self._on_alarm)
                    signal.setitimer(signal.ITIMER_REAL, options.timeout_s, ALARM_AGAIN_S)
                self._in_user = True
                if call.now.cancelled and self.actor is None:
                    raise KeyboardInterrupt  # it came while the arguments were fetched  # noqa: TRY301
                call.run()
                self._in_user = False
        except ExitActor:
            self._in_user = False
            raise
        except BaseException as error:  # noqa: BLE001  # the border of the user's code
            self._in_user = False
            return self._raised(call, error)
        finally:
            if timer:
                signal.setitimer(signal.ITIMER_REAL, 0)
        return call.finished()

    def _raised(self, call: Call, error: BaseException) -> messages.Done:
        """Return the end of a call whose code has raised, unless the worker ends with it."""
        kind = type(error)  # E may refuse to be asked for its class
        if issubclass(kind, KeyboardInterrupt):
            return call.cancelled(begun=True)
        if issubclass(kind, _OutOfTimeError):
            return call.out_of_time()
        if issubclass(kind, SystemExit):
            if self.actor is not None and error.code == 0:  # type: ignore[attr-defined]  # as said
                raise ExitActor(EXITED_WITH_0) from None
            self.quit(error)  # type: ignore[arg-type]  # as said
        return call.failed(error)

    def _run_plain(self, run: messages.Run, options: TaskOptions) -> None:
        """Run a call of which bursts are made: `_run` without all that such a call has no use for.

        That is half of the time that it takes.
        """
        task_id = run.task_id
        now = current.process_wide = current.Current(task_id, run.run_id, 0, run.attempt, options)
        self.journal.begin(task_id)
        call: Call | None = None
        began = perf_counter_ns()
        try:
            packed = run.args
            args, kwargs = (
                _NOTHING
                if packed is None and not seeds.begun
                else arguments(self.client, packed, run.slots, run.values)
            )
            function = self.code(run.code_id)
            self._in_user = True
            if now.cancelled or self._cancelled_early == task_id:
                raise KeyboardInterrupt  # it came while the arguments were fetched  # noqa: TRY301
            result = function(*args, **kwargs)
            kind = type(result)
            if kind in PLAIN_TYPES and not (kind is str and len(result) > FUSE_MAX_BYTES):
                self._in_user = False
                micros = (perf_counter_ns() - began) // 1000
            else:
                call = Call(self, run, options, now, began)
                call.returned(result)
                self._in_user = False
        except BaseException as error:  # noqa: BLE001  # the border of the user's code
            self._in_user = False
            call = call or Call(self, run, options, now, began)
            result = error
            done = self._raised(call, error)
        else:
            if call is not None:
                done = call.finished()
            else:
                data = dumps(result, 5)
                if len(data) > FUSE_MAX_BYTES:
                    call = Call(self, run, options, now, began)
                    call.returned(result)
                    done = call.finished()
        for hook in after_call:
            hook(result)
        result = None  # an error, and this frame, which it came through, would hold each other
        self.debugging.end_of_call(now)
        output = self.output
        if not self.client.inbox or output.written or self._next_run() != run.run_id:
            self.modules.note()
            output.end_of_call(now)
        if call is None:
            self._keep_made(task_id, data)
            self._end_plain(task_id, data, micros)
        else:
            value = done.values[0] if len(done.values) == 1 else None
            if value is not None:
                self._keep_made(task_id, value)
            if value is not None and is_plain(value):
                self._end_plain(task_id, value.data, done.micros)
            else:
                self._end_task(done)
            call.forget()
        current.process_wide = current.NOTHING

    def code(self, code_id: int) -> Any:
        """Return a function or class that the head has sent."""
        code = self._codes.get(code_id)
        if code is None:
            message = self._code_messages[code_id]
            with generators.arriving() as own:
                code = self.client.load_code(message.value, message.captured)
            self._codes[code_id] = code
            if own:
                seeds.adopt(code, own)
        return code

    def _forget_code(self, code_id: int) -> None:
        """Let go of a function or class that nothing names any more, and of what it captures."""
        message = self._code_messages.pop(code_id)
        self._codes.pop(code_id, None)
        if message.captured:
            # A function and the globals that it was sent with hold each other: the arrays
            # would stay until a garbage collection, which an idle worker never makes.
            gc.collect()
        for value in (message.value, *message.captured):
            self.client.release_segment(value.segment)

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end, in a loop of its own."""
        import asyncio  # noqa: PLC0415  # 30 ms, paid by those who use it

        return asyncio.run(coroutine)

    def may_yield(self, now: current.Current, ahead: int, most: int) -> bool:
        """Say whether a generator may make its next item: how far the consumer is behind.

        Returns:
            False when the consumer wants no more.
        """
        taken, task_id = self._credits, now.task_id

        def unwanted() -> bool:
            # Tasks are interrupted, and may go on if they catch that; methods are not.
            return taken.get(task_id, 0) < 0 or (now.cancelled and now.actor_id != 0)

        def may_go_on() -> bool:
            return unwanted() or ahead - taken.get(task_id, 0) < most

        if most and not may_go_on():
            with self.client.paused(0 if now.actor_id else task_id):
                self.client.wait_until(may_go_on)
        return not unwanted()

    def quit(self, error: SystemExit) -> None:
        """The user's code called `sys.exit`: the worker ends, which the head takes for a crash."""
        code = error.code
        if code is not None and not isinstance(code, int):
            with contextlib.suppress(Exception):
                print(code, file=sys.stderr)  # noqa: T201  # as Python does with a reason
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        self.client.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))

    def _end_task(self, done: messages.Done, *, flush: bool = False) -> None:
        """Report the end of a task: at once, or with others while more wait to be run."""
        if self.door.calls:
            if self.door.answer(done):
                self.journal.begin(0)
                return
            self.door.adopt(done.task_id)
        self.client.unsent.append(done)  # post() would flush by time alone
        if flush or not _is_plain(done.values):
            self._send()
            return
        frame = transport.encode_frame([done])
        if len(frame) > ENTRY_MAX_BYTES:
            self._send()
            return
        self.journal.note(frame)
        self._reported()

    def _end_plain(self, task_id: int, result: bytes, micros: int) -> None:
        """Report the end of a plain task, in one message with the one before if it follows that."""
        if self.door.calls:
            self._end_task(messages.Done(task_id, [Value(result)], None, micros))
            return
        self.journal.note_end(task_id, micros, result)
        unsent = self.client.unsent
        with self.client.send_lock:
            ends = unsent[-1] if unsent else None
            if type(ends) is messages.DoneMany and task_id == self._due:
                ends.values.append(result)
                ends.micros += micros
                self._joined += 1
            else:
                unsent.append(messages.DoneMany(task_id, [result], micros))
        self._due = task_id + STRIDE
        self._reported()

    def _reported(self) -> None:
        """An end was noted: send it now, unless more are soon to follow."""
        client = self.client
        self._unsent += 1
        if (
            not client.inbox
            or len(client.unsent) != self._unsent - self._joined  # something else is unsent
            or client.dropped
            or self._unsent >= BATCH_MAX_MESSAGES
            or monotonic() - client._last_flush > BATCH_MAX_DELAY_S  # noqa: SLF001
        ):
            self._send()

    # ---- actors ----------------------------------------------------------------------

    def _become(self, message: messages.BecomeActor) -> None:
        options: ActorOptions = message.options
        facts = current.facts
        facts.actor_id = message.actor_id
        facts.actor_options = options
        facts.restarts = message.restarts
        now = current.Current(
            0,
            message.run_id,
            message.actor_id,
            message.restarts + 1,
            creation_options(options.class_name),
        )
        current.set_process_wide(now)
        processes.set_title(f"burrow::{options.class_name}")
        failure: Failure | None = None
        if options.out_of_order or options.concurrency_groups:
            from burrow_jupyter.engine.side_by_side import (  # noqa: PLC0415  # loads asyncio, 30 ms
                SideBySide,
            )

            self.client.make_pokable()
            self._side_by_side = SideBySide(self, options)
        try:
            with threads_for(options.shape):
                cls = facts.actor_class = self.code(message.code_id)
                args, kwargs = arguments(self.client, message.args, message.slots, message.values)
                self._in_user = True
                if options.is_async and self._side_by_side is not None:
                    self.actor = self._side_by_side.construct(cls, args, kwargs)
                else:
                    self.actor = cls(*args, **kwargs)
                now.check_leaving()
        except ExitActor as leaving:
            self.leave_actor(leaving.reason)
            return
        except SystemExit as error:
            if error.code == 0:
                self.leave_actor(EXITED_WITH_0)
                return
            self.quit(error)
        except BaseException as error:  # noqa: BLE001  # the border of the user's code
            failure = errors.capture(
                error,
                function=f"{options.class_name}.__init__",
                task_id=0,
                actor_id=message.actor_id,
                attempt=message.restarts + 1,
            )
        finally:
            self._in_user = False
            current.set_process_wide(current.NOTHING)
        self.modules.note()
        text = repr_of(self.actor) if failure is None else ""
        self.client.post(messages.ActorReady(message.actor_id, failure, text))
        self._send()

    def leave_actor(self, reason: str) -> None:
        """End the actor: nothing that was not begun will be."""
        self._exiting = True
        self.client.post(messages.ActorExit(current.facts.actor_id, reason))
        self.client.flush()


def _are_plain(options: TaskOptions) -> bool:
    """Say whether calls with these options are run, return once, and are ended by nothing else."""
    return (
        options.num_returns == 1
        and not options.generator
        and not options.max_calls
        and not options.timeout_s
        and threads_for(options.shape) is AS_THEY_ARE
    )


def _is_plain(values: list[Value]) -> bool:
    """Say whether results are in their message, whole, and hold no refs."""
    for value in values:  # noqa: SIM110  # a generator costs four times as much
        if value.contained or value.segment:
            return False
    return True
