"""Counters, gauges and histograms by Ray's names: checked as there, and exported nowhere.

For code that was written for Ray. There is no metrics server; what is worth watching a task
can print, and what runs is in the side panel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Sequence


class Metric:
    """What the three kinds have in common: a name and tags.

    Args:
        name: of the metric.
        description: for people.
        tag_keys: names of the tags that each value has.

    Raises:
        TypeError: `tag_keys` is no tuple of str.

    Source: Ray 2.60 `ray.util.metrics.Metric`.
    """

    def __init__(
        self, name: str, description: str = "", tag_keys: tuple[str, ...] | None = None
    ) -> None:
        """Check the tags."""
        keys: object = tag_keys if tag_keys is not None else ()
        if not isinstance(keys, tuple) or not all(isinstance(key, str) for key in keys):
            msg = f"tag_keys must be a tuple of str, got {tag_keys!r}"
            raise TypeError(msg)
        self._name = name
        self._description = description
        self._tag_keys = keys
        self._default_tags: dict[str, str] = {}

    def set_default_tags(self, default_tags: dict[str, str]) -> Self:
        """Have every value carry these tags; return the metric itself.

        Raises:
            ValueError: a tag that is not among `tag_keys`.
            TypeError: a value that is no str.
        """
        unknown = [key for key in default_tags if key not in self._tag_keys]
        if unknown:
            msg = f"there is no tag key {unknown[0]!r}; there are: {', '.join(self._tag_keys)}"
            raise ValueError(msg)
        self._check_tags(default_tags)
        self._default_tags = dict(default_tags)
        return self

    @property
    def info(self) -> dict[str, Any]:
        """The name, description, tag keys and default tags."""
        return {
            "name": self._name,
            "description": self._description,
            "tag_keys": self._tag_keys,
            "default_tags": self._default_tags,
        }

    def _check_tags(self, tags: dict[str, Any]) -> None:
        for key, value in tags.items():
            if not isinstance(value, str):
                msg = f"the tag {key!r} must be a str, got {value!r}"
                raise TypeError(msg)

    def _take(self, value: Any, tags: dict[str, str] | None) -> None:
        if not isinstance(value, int | float):
            msg = f"a metric takes numbers, got {value!r}"
            raise TypeError(msg)
        self._check_tags(tags or {})
        missing = [k for k in self._tag_keys if k not in {**self._default_tags, **(tags or {})}]
        if missing:
            msg = f"no value for the tags {', '.join(missing)} of {self._name}"
            raise ValueError(msg)


class Counter(Metric):
    """A number that only grows."""

    def inc(self, value: float = 1.0, tags: dict[str, str] | None = None) -> None:
        """Add to it.

        Raises:
            ValueError: `value` is not above 0, or a tag is missing.
            TypeError: no number.
        """
        self._take(value, tags)
        if value <= 0:
            msg = f"a counter grows: value must be above 0, got {value!r}"
            raise ValueError(msg)


class Gauge(Metric):
    """A number that is what it was last set to."""

    def set(self, value: float | None, tags: dict[str, str] | None = None) -> None:
        """Set it; `None` leaves it.

        Raises:
            ValueError: a tag is missing.
            TypeError: no number.
        """
        if value is not None:
            self._take(value, tags)


class Histogram(Metric):
    """Numbers, counted by their size.

    Args:
        name, description, tag_keys: as of the others.
        boundaries: of the sizes, each above 0.

    Raises:
        ValueError: no boundaries, or one that is not above 0.
    """

    def __init__(
        self,
        name: str,
        description: str = "",
        boundaries: Sequence[float] | None = None,
        tag_keys: tuple[str, ...] | None = None,
    ) -> None:
        """Check the boundaries."""
        super().__init__(name, description, tag_keys)
        if not boundaries or any(boundary <= 0 for boundary in boundaries):
            msg = f"boundaries must be numbers above 0, got {boundaries!r}"
            raise ValueError(msg)
        self.boundaries = list(boundaries)

    def observe(self, value: float, tags: dict[str, str] | None = None) -> None:
        """Count a number.

        Raises:
            ValueError: a tag is missing.
            TypeError: no number.
        """
        self._take(value, tags)

    @property
    def info(self) -> dict[str, Any]:
        """As of the others, and the boundaries."""
        return {**super().info, "boundaries": self.boundaries}


for _public in (Counter, Gauge, Histogram, Metric):
    _public.__module__ = "burrow.util.metrics"
