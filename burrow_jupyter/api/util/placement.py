"""Placement groups, as far as one machine has use for them: checked, and placed at once.

Everything is on one node, so a group that fits is placed and every strategy but
STRICT_SPREAD over several nodes is met. Nothing is set aside: tasks of a group take their
resources as others do.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from burrow_jupyter.api import checks, context
from burrow_jupyter.api.calls import put
from burrow_jupyter.api.exceptions import InfeasibleError
from burrow_jupyter.api.ids import PlacementGroupID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from burrow_jupyter.api.refs import ObjectRef

STRATEGIES = ("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD")

_numbers = itertools.count(1)
_groups: dict[str, PlacementGroup] = {}


class PlacementGroup:
    """A group of bundles of resources.

    Source: Ray 2.60 `ray.util.placement_group.PlacementGroup`.
    """

    def __init__(self, bundles: list[dict[str, float]], strategy: str, name: str) -> None:
        """Describe a group that fits."""
        self.bundle_specs = bundles
        self.strategy = strategy
        self.name = name
        self.session = context.backend().session
        self.id = PlacementGroupID(f"{self.session:016x}{next(_numbers):016x}")
        self.removed = False

    @property
    def bundle_count(self) -> int:
        """How many bundles there are."""
        return len(self.bundle_specs)

    @property
    def is_empty(self) -> bool:
        """Whether there are none."""
        return not self.bundle_specs

    def ready(self) -> ObjectRef[PlacementGroup]:
        """Return a ref that is ready when the group is placed: now."""
        return put(self)

    def wait(self, timeout_seconds: float = 30) -> bool:
        """Say whether the group is placed within a time: it is, until it is removed."""
        checks.seconds("timeout_seconds", timeout_seconds)
        return not self.removed

    def __repr__(self) -> str:
        return f"PlacementGroup({self.name or self.id[-8:]}, {self.bundle_specs})"


def placement_group(
    bundles: Sequence[dict[str, float]],
    strategy: str = "PACK",
    name: str = "",
    lifetime: str | None = None,
    **other: Any,
) -> PlacementGroup:
    """Return a group of bundles of resources.

    Args:
        bundles: amounts by resource, such as `[{"CPU": 1}, {"GPU": 1}]`.
        strategy: "PACK", "SPREAD", "STRICT_PACK" or "STRICT_SPREAD"; on one machine the
            first three are the same, the last holds one bundle.
        name: to know it by.
        lifetime: accepted, and means nothing on one machine.
        other: as `lifetime`.

    Raises:
        ValueError: no or empty bundles, or an unknown strategy.
        InfeasibleError: the burrow does not have that much.
    """
    wanted = [
        dict(checks.mapping("a bundle", bundle)) for bundle in checks.items("bundles", bundles)
    ]
    for bundle in wanted:
        for key, amount in bundle.items():
            checks.amount(f"the amount of {key} in a bundle", amount)
    if not wanted or any(not bundle or not any(bundle.values()) for bundle in wanted):
        msg = "a placement group needs bundles, each with an amount above 0 of something"
        raise ValueError(msg)
    if strategy not in STRATEGIES:
        msg = f"strategy must be one of {', '.join(STRATEGIES)}, got {strategy!r}"
        raise ValueError(msg)
    if strategy == "STRICT_SPREAD" and len(wanted) > 1:
        msg = "STRICT_SPREAD puts each bundle on another machine, and there is one; use SPREAD"
        raise InfeasibleError(msg)
    totals = context.backend().totals
    for key in {key for bundle in wanted for key in bundle}:
        amount = sum(bundle.get(key, 0) for bundle in wanted)
        if amount > totals.get(key, 0.0):
            msg = (
                f"the bundles ask for {amount:g} {key} together, but this burrow has "
                f"{totals.get(key, 0.0):g}"
            )
            raise InfeasibleError(msg)
    group = PlacementGroup(wanted, strategy, name)
    _groups[group.id] = group
    return group


def remove_placement_group(placement_group: PlacementGroup) -> None:
    """Forget a group.

    Raises:
        TypeError: it is none.
    """
    checks.instance("placement_group", placement_group, PlacementGroup)
    placement_group.removed = True
    _groups.pop(placement_group.id, None)


def get_placement_group(placement_group_name: str) -> PlacementGroup:
    """Return a group by its name.

    Raises:
        ValueError: there is none.
    """
    for group in _of_session():
        if placement_group_name and group.name == placement_group_name:
            return group
    msg = f"Failed to look up placement group with name: {placement_group_name}"
    raise ValueError(msg)


def placement_group_table(placement_group: PlacementGroup | None = None) -> dict[str, Any]:
    """Return facts about a group, or about all by id.

    Raises:
        TypeError: it is no group.
    """
    group = placement_group
    if group is not None:
        checks.instance("placement_group", group, PlacementGroup)
    else:
        return {one.id: placement_group_table(one) for one in _of_session()}
    return {
        "placement_group_id": group.id,
        "name": group.name,
        "bundles": dict(enumerate(group.bundle_specs)),
        "strategy": group.strategy,
        "state": "REMOVED" if group.removed else "CREATED",
    }


def _of_session() -> list[PlacementGroup]:
    session = context.backend().session
    return [group for group in _groups.values() if group.session == session]


def get_current_placement_group() -> PlacementGroup | None:
    """Return the group of the running task: tasks belong to none."""
    return None


@dataclass(frozen=True)
class PlacementGroupSchedulingStrategy:
    """Run in a group: `options(scheduling_strategy=...)`; on one machine that is anywhere.

    Raises:
        TypeError: not a placement group.
        ValueError: it has no bundle of that index, or was removed.
    """

    placement_group: PlacementGroup
    placement_group_bundle_index: int = -1
    placement_group_capture_child_tasks: bool | None = None

    def __post_init__(self) -> None:
        group: object = self.placement_group
        if not isinstance(group, PlacementGroup):
            msg = f"placement_group must be a PlacementGroup, got {type(group).__name__}"
            raise TypeError(msg)
        if not -1 <= self.placement_group_bundle_index < group.bundle_count:
            msg = (
                f"placement_group_bundle_index must be -1 (any) to {group.bundle_count - 1}, "
                f"got {self.placement_group_bundle_index!r}"
            )
            raise ValueError(msg)
        if group.removed:
            msg = f"{group!r} was removed; make another with placement_group()"
            raise ValueError(msg)


@dataclass(frozen=True)
class NodeAffinitySchedulingStrategy:
    """Run on a node: there is one.

    Raises:
        InfeasibleError: it is another node, and not `soft`.
    """

    node_id: str
    soft: bool = False

    def __post_init__(self) -> None:
        here = f"{context.backend().session:016x}"
        if self.node_id != here and not self.soft:
            msg = f"there is no node {self.node_id!r}: the one node is {here!r}; or say soft=True"
            raise InfeasibleError(msg)


class In:
    """A label has one of these values. Source: Ray 2.60, as the three below."""

    def __init__(self, *values: str) -> None:
        """Args: values: one at least."""
        self.values = _values(values)


class NotIn:
    """A label has none of these values, or is not there."""

    def __init__(self, *values: str) -> None:
        """Args: values: one at least."""
        self.values = _values(values)


class Exists:
    """A label is there."""


class DoesNotExist:
    """A label is not there."""


def _values(values: tuple[str, ...]) -> list[str]:
    if not values or not all(isinstance(value, str) for value in values):
        msg = f"values of labels are one str or more, got {values!r:.60}"
        raise ValueError(msg)
    return list(values)


@dataclass(frozen=True)
class NodeLabelSchedulingStrategy:
    """Run on a node with labels: there is one node, and it has none.

    Raises:
        InfeasibleError: `hard` asks for a label that has a value, or is there.
    """

    hard: dict[str, Any] | None = None
    soft: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        hard = checks.mapping("hard", self.hard or {})
        missing = [key for key, what in hard.items() if not isinstance(what, NotIn | DoesNotExist)]
        if missing:
            msg = f"the one node has no labels, so none of {', '.join(missing)}; use soft="
            raise InfeasibleError(msg)


PlacementGroup.__module__ = "burrow.util.placement_group"
for _strategy in (
    PlacementGroupSchedulingStrategy,
    NodeAffinitySchedulingStrategy,
    NodeLabelSchedulingStrategy,
):
    _strategy.__module__ = "burrow.util.scheduling_strategies"
