"""Connections between fake processes and the head: no order but their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from burrow_jupyter.core.fusing import spread

from .joining import join

if TYPE_CHECKING:
    from .processes import Client
    from .simulator import World


class Wire:
    """One connection: each direction keeps its order, connections do not keep theirs."""

    def __init__(self, world: World, client: Client) -> None:
        world.next_peer += 1
        self.world = world
        self.client = client
        self.peer = world.next_peer
        self.up_until = 0.0
        self.down_until = 0.0
        self.open = True
        world.wires[self.peer] = self

    def up(self, batch: list[Any]) -> None:
        """Carry a frame to the head; once sent it arrives, also when its sender dies."""
        world = self.world
        batch = join(batch)
        self.up_until = max(self.up_until, world.now + world.delay())
        world.at(self.up_until, lambda: world.receive(self, batch))

    def down(self, batch: list[Any]) -> None:
        """Carry a frame from the head; the dead do not hear it."""
        world = self.world
        self.down_until = max(self.down_until, world.now + world.delay())

        def arrive() -> None:
            if self.client.alive:
                self.client.receive([each for message in batch for each in spread(message)])

        world.at(self.down_until, arrive)
