"""The REST API: what burrows there are, what is in one, and the actions on it.

Handlers translate HTTP to `burrows` and `Observer` and back, and hold no logic. Every
verb is authenticated and authorized. `openapi.yaml` describes the same routes.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import msgspec
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from burrow_jupyter.server.burrows import (
    Burrows,
    InvalidId,
    SilentBurrow,
    UnknownBurrow,
    parse_id,
)
from burrow_jupyter.server.shapes import CancelBody, KillBody, Reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from burrow_jupyter.engine.observer import Observer

AUTH_RESOURCE = "burrow"

Body = TypeVar("Body")


def as_http_error(error: InvalidId | UnknownBurrow | SilentBurrow) -> web.HTTPError:
    """Return the HTTP status of what can go wrong with a burrow."""
    match error:
        case InvalidId():
            status = 400
        case UnknownBurrow():
            status = 404
        case SilentBurrow():
            status = 503
    return web.HTTPError(status, str(error))


class BurrowHandler(APIHandler):
    """What all handlers share: where the burrows are and how errors are told."""

    auth_resource = AUTH_RESOURCE
    # A panel that looks is no activity: it must not keep an idle server alive.
    _track_activity = False

    def initialize(self, burrows: Burrows) -> None:
        """Args: burrows: those of this server."""
        self.burrows = burrows

    @asynccontextmanager
    async def observe(self, session: str) -> AsyncIterator[Observer]:
        """The observer of a burrow; what goes wrong with it becomes an HTTP status."""
        try:
            async with self.burrows.observe(session) as lent:
                yield lent.observer
        except (InvalidId, UnknownBurrow, SilentBurrow) as error:
            raise as_http_error(error) from error
        except TimeoutError as error:
            raise as_http_error(SilentBurrow("the burrow does not answer")) from error
        except OSError as error:  # of the observer's socket: the head ended under our hands
            raise web.HTTPError(503, "the burrow has ended") from error

    def body(self, kind: type[Body]) -> Body:
        """Return the validated body of the request."""
        try:
            return msgspec.json.decode(self.request.body, type=kind)
        except msgspec.DecodeError as error:
            raise web.HTTPError(400, f"not a valid body: {error}") from error

    def answer(self, body: bytes | None = None) -> None:
        """Send the answer."""
        # Not awaited, as everywhere in tornado: it waits for the browser to have read it.
        _ = self.finish(body)

    def finish_done(self) -> None:
        """Answer that it was done, with nothing to add."""
        self.set_status(204)
        self.answer()


class BurrowsHandler(BurrowHandler):
    """Answers `burrows`."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """List the burrows of this server's kernels."""
        self.answer(msgspec.json.encode(await self.burrows.listings()))


class SnapshotHandler(BurrowHandler):
    """Answers `burrows/{session}`."""

    @web.authenticated
    @authorized
    async def get(self, session: str) -> None:
        """Return everything about a burrow, as of now."""
        async with self.observe(session) as observer:
            self.answer(msgspec.json.encode(observer.snapshot()))


class OutputsHandler(BurrowHandler):
    """Answers `burrows/{session}/outputs`."""

    @web.authenticated
    @authorized
    async def get(self, session: str) -> None:
        """Return what is recorded of the outputs of cells."""
        try:
            since = float(self.get_query_argument("since", "0"))
        except ValueError:
            raise web.HTTPError(400, "since is a number of seconds") from None
        try:
            outputs = await self.burrows.outputs(session, since)
        except (InvalidId, UnknownBurrow) as error:
            raise as_http_error(error) from error
        self.answer(msgspec.json.encode(outputs))


class WhyHandler(BurrowHandler):
    """Answers `burrows/{session}/why`."""

    @web.authenticated
    @authorized
    async def get(self, session: str) -> None:
        """Say why a task has not ended."""
        task = self.get_query_argument("task", "")
        async with self.observe(session) as observer:
            text = await asyncio.to_thread(observer.why, parse_id(task))
        self.answer(msgspec.json.encode(Reason(text)))


class CancelHandler(BurrowHandler):
    """Answers `burrows/{session}/cancel`."""

    @web.authenticated
    @authorized
    async def post(self, session: str) -> None:
        """Cancel a task, or all tasks of a run."""
        body = self.body(CancelBody)
        if bool(body.task) == bool(body.run):
            raise web.HTTPError(400, "say which task or which run, one of the two")
        async with self.observe(session) as observer:
            if body.task:
                observer.cancel_task(parse_id(body.task), force=body.force)
            else:
                observer.cancel_run(parse_id(body.run))
        self.finish_done()


class KillHandler(BurrowHandler):
    """Answers `burrows/{session}/kill`."""

    @web.authenticated
    @authorized
    async def post(self, session: str) -> None:
        """Kill an actor."""
        body = self.body(KillBody)
        async with self.observe(session) as observer:
            observer.kill_actor(parse_id(body.actor))
        self.finish_done()


class StopHandler(BurrowHandler):
    """Answers `burrows/{session}/stop`."""

    @web.authenticated
    @authorized
    async def post(self, session: str) -> None:
        """Stop a burrow and all that runs in it."""
        async with self.observe(session) as observer:
            observer.stop_burrow()
        self.finish_done()
