"""Mounts the routes on a Jupyter server. Wiring only.

Jupyter finds this through `_jupyter_server_extension_points` of the package.
"""

from __future__ import annotations

from jupyter_server.extension.application import ExtensionApp

from burrow_jupyter.server import rest, socket
from burrow_jupyter.server.burrows import Burrows

API = r"/burrow/api/burrows"
# Whatever stands at the session's place reaches the handler, which says 400 if it is none.
SESSION = r"/([^/]+)"

ROUTES = (
    (API, rest.BurrowsHandler),
    (API + SESSION, rest.SnapshotHandler),
    (API + SESSION + r"/cancel", rest.CancelHandler),
    (API + SESSION + r"/kill", rest.KillHandler),
    (API + SESSION + r"/stop", rest.StopHandler),
    (API + SESSION + r"/outputs", rest.OutputsHandler),
    (API + SESSION + r"/why", rest.WhyHandler),
    (API + SESSION + r"/events", socket.EventsSocket),
)
"""Every route below the server's base URL, with its handler."""


class BurrowExtension(ExtensionApp):
    """The server side of Burrow's panel."""

    name = "burrow"
    burrows: Burrows | None = None

    def initialize_handlers(self) -> None:
        """Mount the routes."""
        assert self.serverapp is not None, "the server loads its extensions"
        kernels = self.serverapp.kernel_manager
        self.burrows = Burrows(lambda: set(kernels.list_kernel_ids()))
        self.handlers.extend(
            (route, handler, {"burrows": self.burrows}) for route, handler in ROUTES
        )

    async def stop_extension(self) -> None:
        """Let go of the burrows; they live on."""
        if self.burrows is not None:
            await self.burrows.close()
