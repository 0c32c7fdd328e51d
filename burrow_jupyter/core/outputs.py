"""What is recorded of a cell's outputs, for a page that was not there when they came.

A front end files what a kernel publishes under the request that it belongs to, and forgets its
requests when its page is loaded anew. So the messages of cells that launch tasks are recorded.
"""

from __future__ import annotations

import msgspec


class OutputMessage(msgspec.Struct, frozen=True):
    """One message of the kernel that changes the outputs of a cell, or says that it has ended."""

    id: str
    type: str  # as Jupyter's messages are called: "stream", "display_data", ...
    content: msgspec.Raw


class CellOutputs(msgspec.Struct, frozen=True, omit_defaults=True):
    """The last execution of a cell that has launched tasks."""

    cell: str
    number: int  # of the execution
    request: str  # id of the message that asked for it
    client: str  # session of the front end that sent it
    messages: list[OutputMessage] | None = None  # none if nothing came since the time asked for
