"""Every bound and interval of the engine in one place: unit in the name, reason beside it."""

from __future__ import annotations

INLINE_MAX_BYTES = 100 * 1024
"""Values up to this size travel in messages, larger ones in shared memory. At 100 KB a
copy costs about as much as a mapping (8 us); Ray draws its line at the same place."""

PUSH_MAX_BYTES = 16 * 1024
"""Results up to this size are sent to the submitter unasked, so that its `get` needs no
round trip; larger ones wait until they are asked for, so that nobody's memory fills with
results that it never looks at."""

FRAME_MAX_BYTES = 16 * 1024 * 1024
"""The largest frame that is accepted; checked before anything is allocated."""

IDS_MAX = 1_000_000
"""Ids in one message: each takes up to nine bytes, so they fit in a frame."""

FRAME_TARGET_BYTES = 1024 * 1024
"""A batch is closed when it has grown to this size."""

BATCH_MAX_MESSAGES = 64
"""Messages collected before a send: at 64 the cost of a send (about 10 us with its
wake-up) is below 0.2 us a message."""

BATCH_MAX_DELAY_S = 0.001
"""The longest that a message waits for others while its sender keeps running."""

FUSE_MAX_BYTES = 4000
"""Arguments and results up to this size travel as one message with those of their neighbours; a
message of `HELD_AHEAD_MAX` of them is well within a frame, a batch of them in a journal."""

FED_LEAST = 8
"""Calls of a burst that a worker which has some already is sent at least, if there are as many."""

FOLD_MAX = 4096
"""Most calls of one fold: it stays as long as one of its results is held."""

FOLDED_MAX = 1_000_000
"""Most calls in folds. To unfold that many, for a question about one of them, takes two seconds,
which all of them together would have cost three times over."""

AUTH_TIMEOUT_S = 5.0
"""A connection that has not shown the key by then is closed."""

UNAUTHENTICATED_MAX = 64
"""Connections that may be waiting to authenticate at once; more are closed at the door."""

HELD_AHEAD_TARGET_S = 0.002
"""Measured work that a worker may hold ahead, so that it never idles between short tasks."""

HELD_AHEAD_MAX = 128
"""Most tasks that a worker holds ahead, however short they are."""

DEPARTED_MAX = 100
"""Workers that are gone of which is known how they ended, until their callers have asked."""

OVER_MAX = 1000
"""Ended direct calls that are remembered, so that what their workers still say of them is known
to be old. One driver has one at a time with each worker."""

UNSEEN_MAX = 10_000
"""Failed tasks of which it is remembered that they were told, so that one with several results is
told once: those are let go of together."""

DEADLOCK_AFTER_S = 1.0
"""Calls that have waited so long are looked at for a deadlock."""

WHERE_WITHIN_S = 0.5
"""A worker that is asked where a call of its is has so long to say it."""

RIDE_MAX_BYTES = 16 * 1024
"""Results up to this size stay with their worker for the tasks that ride behind them."""

RIDE_RESULTS_MAX = 256
"""Results that a worker keeps for tasks that ride."""

HELD_AHEAD_LONGEST_S = 0.005
"""Tasks longer than this are not held ahead: a round trip is under 5 % of them."""

TAKE_BACK_AFTER_S = 0.005
"""A worker that has not answered for so long while others are idle gives back what it
holds ahead."""

RESERVE_AFTER_S = 1.0
"""A task or actor that has waited so long for room has what is given back kept for it, so that
a stream of smaller tasks does not pass it for ever."""

RESERVE_FOR_S = 5.0
"""How long it is kept at a time, and then not kept: who holds the rest may be waiting for one
of those that are held back, unseen."""

WEIGH_INTERVAL_S = 0.25
"""How often the memory is read, at most, and only by a head that is awake anyway, or that holds
something up: 6 us each time."""

MEMORY_KEPT_SHARE = 0.1
MEMORY_KEPT_MAX_BYTES = 16 * 1024**3
"""Of the memory so much is to be left, or the burrow pauses: a tenth, as in Dask, whose workers
pause at 80 % and kill at 95; Ray kills at 95 %. What runs already goes on taking memory, and the
kernel ends a process, or stalls all of them, before the last bytes are gone. No more than 16 GB:
on a machine of 1 TB a tenth would be more than any task is likely to want."""

MEMORY_RESUME_SHARE = 0.25
MEMORY_RESUME_MAX_BYTES = 256 * 1024**2
"""Before work goes on, less must be used by this share of what is to be left, or by so much: so that
it does not stop and go with each page."""

IDLE_WORKER_KEEP_S = 1.0
"""Workers beyond the number of CPUs end after being idle for so long."""

WORKERS_MAX = 512
"""Most worker processes of one burrow, actors included. A bound against fork bombs by
recursive tasks; each blocked parent needs a process of its own."""

LAST_WORDS_BYTES = 8_000
"""Of a task's output, and a native stack behind it, that an error of its worker quotes."""

HISTORY_TASKS = 10_000
"""Ended tasks that are remembered, for `tasks()` and `timeline()`: about 6 MB."""

RECENT_TASKS = 200
"""Ended tasks that the state feed keeps."""

FRAME_TASKS = 50
"""Ended tasks that one update of the state feed tells of, the newest: in a loop over short ones
thousands end between two, and nobody reads more."""

RECENT_ACTORS = 50
"""Dead actors that the state feed keeps."""

FUNCTIONS_MAX = 200
"""Function names that the state feed counts by; the rest are counted together."""

FEED_INTERVAL_S = 0.1
"""At most ten updates a second reach an observer: faster is not seen, only paid for."""

SAMPLE_INTERVAL_S = 1.0
"""How often CPU and memory of the processes are read while somebody looks."""

ACTOR_MAX_CONCURRENCY_ASYNC = 1000
"""Calls at once in an async actor that says nothing else (Ray 2.60's default)."""

CRASH_LOOP_MAX = 3
"""Workers that may die while starting, in a row, before what they were started for fails."""

CANCEL_GRACE_S = 0.6
"""From interrupting the tasks of a cell until the process of one that goes on is ended: all
is to be over within a second of a click on stop."""

STOP_GRACE_S = 1.0
"""From asking a process group to end until it is killed."""

START_TIMEOUT_S = 20.0
"""From launching the head until it must answer. A cold start takes about 0.2 s; a loaded
CI machine is allowed a hundred times that."""

ERROR_TEXT_MAX_CHARS = 10_000
"""Longest text of an exception that is kept and shown."""

CODE_WARN_BYTES = 1_000_000
"""A function or class this large in pickled form draws a warning. Ray's figure is ten times
that; in a notebook a forgotten variable is the usual reason."""

CAPTURED_MIN_BYTES = INLINE_MAX_BYTES
"""Larger buffers that code captures are objects: stored once, however often the code is edited."""

LET_GO_CODE_MAX = 64
"""Functions and classes that a process has let go and still knows: those of a cell that is run
again are the same ones, as a rule."""

LET_GO_CAPTURING_MAX = 4
"""Of them, those that capture large buffers, while the cell runs."""

LEAVE_INTERVAL_S = 1.0
"""Between two looks whether a call still needs code that nobody holds: each looks at all calls."""

CODE_MAX_BYTES = 100 * 1024 * 1024
"""A function or class larger than this is refused (Ray's figure)."""
