"""The wire: every message between clients, workers, observers and the head.

Messages are tagged msgspec structs, written as msgpack arrays, several to a frame.
Pickles of the user's are opaque `bytes` in them: whoever decodes a message decodes
no pickle. Each arrow has one message type; none is a question answered by a question.

A *client* is a driver or a worker; a worker is a client that also runs things.
"""

from __future__ import annotations

from typing import Any

import msgspec

from burrow_jupyter.core import feed
from burrow_jupyter.core.failures import Failure
from burrow_jupyter.core.options import ActorOptions, TaskOptions


class Message(msgspec.Struct, array_like=True, gc=False):
    """Base of all messages."""


class Value(msgspec.Struct, array_like=True, gc=False):
    """A pickled object on its way: inline, or the segment where it lies.

    `sizes` is empty for one plain pickle; else it lists the size of the pickle and of
    each out-of-band buffer, laid one after the other at multiples of 64 bytes.
    `contained` are the ids of refs and actor handles inside.
    """

    data: bytes = b""
    sizes: list[int] = []
    segment: str = ""
    size: int = 0  # of the segment's content; 0 when inline
    contained: list[int] = []


# Methods that every actor has, beside those of its class:
TERMINATE = "__ray_terminate__"
READY = "__ray_ready__"
APPLY = "__ray_call__"
UPGRADE = "__burrow_upgrade__"


# ---- client -> head ------------------------------------------------------------------


class Hello(Message, tag=1):
    """First message of an authenticated connection."""

    role: str  # "driver" | "worker" | "observer"
    pid: int
    worker: int = 0  # the number that the head gave when it asked for this worker
    version: str = ""
    info: dict[str, Any] = {}  # of a driver: kernel_id, namespace, python, cwd ...


class DefineCode(Message, tag=2):
    """The pickle of a function or class, which the client holds from now on, as it does objects.

    Its large buffers are objects, too, which the client has put before: the same for all code
    that captures them.
    """

    code_id: int
    name: str
    value: Value
    meta: bytes = b""  # of a class: what callers must know of it, opaque here
    captured: list[int] = []  # the buffers, in the order of the pickle
    run_id: int = 0


class DefineOptions(Message, tag=3):
    """Options of a function, once; later messages name them by id."""

    options_id: int
    options: TaskOptions


class DefineRun(Message, tag=4):
    """A cell execution that launches work."""

    run_id: int
    label: str
    cell_id: str = ""
    message_id: str = ""
    surroundings: int = 0  # where the notebook is then; 0: where it was at the start


class Submit(Message, tag=5):
    """Run a function. Its results have the ids `task_id`, `task_id + 1` ..."""

    task_id: int
    code_id: int
    options_id: int
    args: Value | None = None
    deps: list[int] = []  # refs that are arguments themselves, in the order of `slots`
    slots: list[int | str] = []  # where they go: position or keyword
    run_id: int = 0
    parent: int = 0  # the task that submits, 0 for a driver


class SubmitMany(Message, tag=27):
    """`Submit` of several plain calls of one function, whose ids follow each other."""

    first_id: int
    code_id: int
    options_id: int
    run_id: int
    args: list[bytes]  # of each call; b"": it has none


class Call(Message, tag=6):
    """Call a method of an actor."""

    task_id: int
    actor_id: int
    method: str
    options_id: int
    args: Value | None = None
    deps: list[int] = []
    slots: list[int | str] = []
    run_id: int = 0
    parent: int = 0
    max_task_retries: int = 0
    code_id: int = 0  # of the class that the actor is to have when the call has ended well


class CreateActor(Message, tag=7):
    """Make an actor."""

    actor_id: int
    code_id: int
    options: ActorOptions
    args: Value | None = None
    deps: list[int] = []
    slots: list[int | str] = []
    run_id: int = 0
    parent: int = 0


class Put(Message, tag=8):
    """A value of the client's own, or a failure that stands for one."""

    object_id: int
    value: Value | None
    failure: Failure | None = None


class Get(Message, tag=9):
    """Deliver these objects when they are ready; `task_id` waits for `need` of them."""

    object_ids: list[int]
    need: int
    task_id: int = 0  # the call, or actor under construction, that waits; 0: no call (a driver)
    values: bool = True  # False: only say that they are ready
    bounded: bool = False  # the wait ends by itself: no deadlock
    wait: int = 0  # the number by which `Unblock` gives it up; several may be one wait
    awaited: bool = False  # in a coroutine


class Unblock(Message, tag=10):
    """A wait of a task is over although what it was for is not all there (timeout, interrupt)."""

    task_id: int
    wait: int = 0


class Standing(Message, tag=64):
    """A call awaits, and nothing but that one of these waits ends can make it go on."""

    task_id: int
    waits: list[int]  # all that it has


class Hold(Message, tag=11):
    """The client has come to hold these objects or actors."""

    ids: list[int]


class Drop(Message, tag=12):
    """The client holds these objects, actors or code no more."""

    ids: list[int]


class Unmapped(Message, tag=13):
    """Nothing of the client's looks into these segments any more (repeats count)."""

    segments: list[str]


class Cancel(Message, tag=14):
    """Cancel the task that makes this object."""

    object_id: int
    force: bool = False
    recursive: bool = True


class CancelRun(Message, tag=15):
    """Cancel everything that one run launched and that has not ended.

    Passed on to drivers: a loop whose calls are short has none that has not ended, or not for
    long enough, so its next one is cancelled.
    What runs is interrupted; its process is ended if it goes on for `CANCEL_GRACE_S`, with
    `force` at once. Actors stay.
    """

    run_id: int
    force: bool = False


class Kill(Message, tag=16):
    """End an actor's process now."""

    actor_id: int
    no_restart: bool = True


class Query(Message, tag=17):
    """A question about the state; answered by one `Answer`."""

    request_id: int
    what: str
    args: list[Any] = []


class ForgetFailures(Message, tag=22):
    """Nobody will look at the frames of what has failed; passed on to the workers as it is."""


class Free(Message, tag=18):
    """Give up the values of these objects although there are refs."""

    object_ids: list[int]


class Shutdown(Message, tag=19):
    """End the burrow."""


class Observe(Message, tag=20):
    """Send the state feed from now on."""


class Reach(Message, tag=23):
    """A driver asks for a way to a worker itself; answered by `Reached`.

    To an actor, or to a worker that it is lent for calls with any of these options, once a
    task of its own has ended.
    """

    key: bytes  # what it will show there
    after: int = 0  # the task
    actor_id: int = 0
    run_id: int = 0
    codes: list[int] = []
    options: list[int] = []


class Direct(Message, tag=24):
    """A call that its caller has sent to the worker itself.

    The same message goes from the caller to the worker, and from either of them to the head
    once others are to know of the call: before anything else is said that may concern it.
    """

    task_id: int
    code_id: int
    options_id: int
    client: int  # who calls
    worker: int
    args: Value | None = None
    run_id: int = 0
    actor_id: int = 0
    method: str = ""
    max_task_retries: int = 0
    refused: bool = False  # the worker does not run it, or has died without an answer
    again: bool = False  # the head was told before


class Ran(Message, tag=25):
    """A direct call has returned, its caller says."""

    task_id: int
    code_id: int
    options_id: int
    worker: int
    run_id: int = 0
    actor_id: int = 0
    micros: int = 0
    value: Value | None = None  # None: nobody holds the result any more


class GiveBack(Message, tag=26):
    """A driver needs a worker that it was lent no more."""

    worker: int


# ---- worker -> head ------------------------------------------------------------------


class Done(Message, tag=30):
    """A task ended."""

    task_id: int
    values: list[Value] = []
    failure: Failure | None = None
    micros: int = 0  # how long the user's code ran
    retryable: bool = False  # the failure is of a type that is to be retried
    unmapped: list[str] = []


class DoneMany(Message, tag=48):
    """`Done` of several tasks whose ids follow each other, all with one small plain result."""

    first_id: int
    values: list[bytes]
    micros: int  # of all of them


class Returned(Message, tag=31):
    """Tasks held ahead that the worker gives back unstarted."""

    task_ids: list[int]


class ActorReady(Message, tag=32):
    """The constructor ended."""

    actor_id: int
    failure: Failure | None = None
    repr: str = ""


class ActorExit(Message, tag=33):
    """The actor ends itself (`exit_actor`, `__ray_terminate__`)."""

    actor_id: int
    reason: str


class ModulesEdited(Message, tag=39):
    """Files of modules were edited or loaded anew, says a driver: passed on to the actors as it is.

    Each of them says then, as `actor_id`, whether it goes on with an older one.
    """

    actor_id: int = 0
    edited: bool = True


class Yielded(Message, tag=34):
    """A generator made its next item."""

    task_id: int
    index: int
    object_id: int
    value: Value


class Started(Message, tag=35):
    """A call that had been held ahead began (said only by those that run longer)."""

    task_id: int


class Retiring(Message, tag=36):
    """The worker ends after this (`max_calls`); its process is to be replaced."""


DISPLAY = "display"
"""The stream of displays; each chunk of it is the JSON of one `Displayed`."""


class OutputChunk(Message, tag=37):
    """What a task printed or displayed."""

    task_id: int
    run_id: int
    stream: str  # "stdout" | "stderr" | "display"
    data: bytes
    until: int = 0  # where in the file of the stream it ends; 0: it is of no file


class Debugged(Message, tag=45):
    """A debugger in a worker speaks; passed on to the drivers as it is."""

    task_id: int
    run_id: int
    pid: int
    kind: str  # "stopped" | "text" | "ask" | "goes on" | "up" | "down" | "end"
    text: str = ""


class Prepared(Message, tag=49):
    """A worker has called the function of a `Setup` that belongs to a run; passed on to the drivers."""

    code_id: int
    run_id: int
    pid: int
    failure: Failure | None = None


class Reclaimed(Message, tag=38):
    """Whoever was lent this worker has no say over it any more."""


class Here(Message, tag=47):
    """Where a call is: the answer to `Where`."""

    number: int
    text: str  # the user's frames, as tracebacks show them


class Paused(Message, tag=46):
    """The task waits for something else than objects: a line of its user's, an item of a stream.

    Its CPU goes to others until `Resumed`; the tasks that make `object_ids` come first. So does a
    call of an actor, or a constructor, that waits for them; it keeps its CPU.
    """

    task_id: int
    object_ids: list[int] = []
    bounded: bool = True  # it may go on without any of them
    wait: int = 0  # as in `Get`


class Resumed(Message, tag=44):
    """What the task has `Paused` for, once, is there."""

    task_id: int
    wait: int = 0


class Displayed(msgspec.Struct, frozen=True):
    """A MIME bundle that a task displays, as in Jupyter's `display_data`."""

    data: dict[str, Any]
    metadata: dict[str, Any]
    display_id: str
    update: bool  # of one that is shown already


# ---- head -> client ------------------------------------------------------------------


class Welcome(Message, tag=50):
    """Answer to `Hello`."""

    client_id: int
    session: int
    namespace: str
    store_dir: str
    spill_dir: str
    cpus: float
    info: dict[str, Any] = {}


class Deliver(Message, tag=51):
    """An object's value, or why it has none."""

    object_id: int
    value: Value | None = None
    failure: Failure | None = None


class DeliverMany(Message, tag=63):
    """`Deliver` of several plain values of objects whose ids follow each other."""

    first_id: int
    values: list[bytes]


class Ready(Message, tag=52):
    """These objects are ready (they were asked for without values)."""

    object_ids: list[int]


class Answer(Message, tag=53):
    """Answer to a `Query`."""

    request_id: int
    payload: Any = None
    error: str = ""
    kind: str = ""  # of error: "value", "lookup" ...


class Reuse(Message, tag=54):
    """Segments that this client made and nobody uses: keep them for the next object."""

    segments: list[str]


class Streamed(Message, tag=55):
    """A generator's item: the object exists."""

    task_id: int
    index: int
    object_id: int  # 0: the end
    failure: Failure | None = None


class Notice(Message, tag=56):
    """One line for the user: a failure that nobody asked for, a warning."""

    text: str
    run_id: int = 0
    traceback: str = ""  # of the failure


class GiveUp(Message, tag=60):
    """What a call, or the constructor of an actor, waits for will never come."""

    task_id: int  # or the actor's
    failure: Failure
    wait: int = 0  # the number of the `Get`


class Reached(Message, tag=61):
    """Answer to `Reach`: show the key to this worker. 0: there is no way now."""

    worker: int
    actor_id: int = 0
    lasting: bool = False  # nor will there be one: not for this actor


class WayLost(Message, tag=62):
    """This worker is gone; what was sent to it itself and has not ended is to be told."""

    worker: int


class Bye(Message, tag=57):
    """The burrow ends."""

    reason: str


class FeedFrame(Message, tag=58):
    """The state feed: sent to observers only."""

    feed: feed.Snapshot | feed.Delta


class Printed(Message, tag=59):
    """Output of a task, for the driver of its run."""

    task_id: int
    run_id: int
    stream: str
    data: bytes


# ---- head -> worker ------------------------------------------------------------------


class Code(Message, tag=70):
    """Code that a coming `Run` names."""

    code_id: int
    value: Value
    captured: list[Value] = []  # its large buffers, in the order of the pickle


class ForgetCode(Message, tag=84):
    """Nothing names this code any more."""

    code_id: int


class Options(Message, tag=71):
    """Options that a coming `Run` names."""

    options_id: int
    options: TaskOptions


class Run(Message, tag=72):
    """Run a function, or a method of the actor that this worker is."""

    task_id: int
    code_id: int
    options_id: int
    method: str = ""
    args: Value | None = None
    slots: list[int | str] = []
    values: list[Value | None] = []  # of the arguments that were refs
    deps: list[int] = []  # their ids
    run_id: int = 0
    attempt: int = 1
    skip: int = 0  # items of a generator that the consumer already has


class RunMany(Message, tag=83):
    """`Run` of several plain calls of one function, whose ids follow each other."""

    first_id: int
    code_id: int
    options_id: int
    run_id: int
    args: list[bytes]  # of each call; b"": it has none


class BecomeActor(Message, tag=73):
    """Be this actor from now on."""

    actor_id: int
    code_id: int
    options: ActorOptions
    args: Value | None = None
    slots: list[int | str] = []
    values: list[Value | None] = []
    run_id: int = 0
    restarts: int = 0


class TakeBack(Message, tag=74):
    """Give back tasks held ahead that have not begun."""


class Interrupt(Message, tag=75):
    """Cancel this task: raise in it if it runs, drop it if it has not begun."""

    task_id: int


class Exit(Message, tag=76):
    """End: after what was sent before, or at once."""

    reason: str = ""


class StreamCredit(Message, tag=77):
    """The consumer has taken items up to this index; -1: it wants no more."""

    task_id: int
    taken: int


class Surroundings(Message, tag=78):
    """Where a notebook is, if not where it was at the start; its tasks follow."""

    surroundings_id: int
    directory: str
    path: list[str]
    changed: dict[str, str]  # environment variables
    removed: list[str]
    dropped: list[str] = []  # of the module path


class Where(Message, tag=86):
    """Say where this call is just now; 0: where in the actor refs lie."""

    number: int
    task_id: int


class Debug(Message, tag=85):
    """A driver speaks to a debugger."""

    task_id: int
    kind: str  # "open" | "line" | "interrupt"
    text: str = ""  # a line; of "open", words on where to begin and what there is beyond


class Admit(Message, tag=80):
    """This client may call the worker itself, showing the key; it has borrowed it with `lent`."""

    client: int
    key: bytes
    lent: bool


class Reclaim(Message, tag=81):
    """Take no more from whoever has borrowed this worker."""


class Adopt(Message, tag=82):
    """The head knows of this direct call: it is to hear the end of it."""

    task_id: int


class Setup(Message, tag=79):
    """Call this function, without arguments, in every worker before it runs anything more.

    That of a run is called at once where nothing runs, reported, and cancelled with the run.
    """

    code_id: int
    run_id: int = 0
    key: str = ""  # takes the place of an earlier one of the same key, unless that is ""


# ---- worker -> caller ----------------------------------------------------------------


class Adopted(Message, tag=90):
    """The head has been told of this direct call, and tells the caller how it ends."""

    task_id: int


CallerToWorker = Direct
WorkerToCaller = Done | Adopted

ClientToHead = (
    Hello
    | DefineCode
    | DefineOptions
    | DefineRun
    | Submit
    | SubmitMany
    | Call
    | CreateActor
    | Put
    | Get
    | Unblock
    | Hold
    | Drop
    | Unmapped
    | Cancel
    | CancelRun
    | Kill
    | Query
    | Free
    | Shutdown
    | Observe
    | Done
    | DoneMany
    | Returned
    | ActorReady
    | ActorExit
    | ModulesEdited
    | Yielded
    | Started
    | Retiring
    | OutputChunk
    | StreamCredit
    | Surroundings
    | Setup
    | Debugged
    | Prepared
    | Paused
    | Resumed
    | Standing
    | Here
    | ForgetFailures
    | Reach
    | Direct
    | Ran
    | GiveBack
    | Reclaimed
)

HeadToClient = (
    Welcome
    | Deliver
    | DeliverMany
    | Ready
    | Answer
    | Reuse
    | Streamed
    | Notice
    | GiveUp
    | Bye
    | FeedFrame
    | Printed
    | Code
    | ForgetCode
    | Options
    | Run
    | RunMany
    | BecomeActor
    | TakeBack
    | Interrupt
    | Exit
    | StreamCredit
    | Surroundings
    | Setup
    | Debugged
    | Prepared
    | Debug
    | Where
    | ForgetFailures
    | ModulesEdited
    | Reached
    | WayLost
    | CancelRun
    | Admit
    | Reclaim
    | Adopt
)
