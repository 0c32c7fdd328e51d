"""What travels over REST besides the state feed: bodies of requests, rows of answers.

Validated here and trusted inside. `labextension/src/state.ts` is generated from these
and from `core/feed.py`. Never: anything of Jupyter's.
"""

from __future__ import annotations

import msgspec


class Listing(msgspec.Struct, frozen=True):
    """One burrow, as the list of burrows shows it."""

    session: str
    kernel_id: str
    pid: int  # of its head
    started_at: float


class Reason(msgspec.Struct, frozen=True):
    """Why a task has not ended."""

    text: str  # a sentence, and perhaps more lines


class CancelBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What to cancel: one task, or all tasks of one run. Exactly one of the two is set."""

    task: str = ""
    run: str = ""
    force: bool = False  # of a task: end its worker too, if it does not listen


class KillBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which actor to kill."""

    actor: str
