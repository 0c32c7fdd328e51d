"""Environments of workers: a checked mapping, as `runtime_env=` takes it."""

from __future__ import annotations

from typing import Any

from burrow_jupyter.core import options as table


class RuntimeEnv(dict[str, Any]):
    """What `runtime_env=` takes, checked when it is made; a plain dict serves as well.

    Source: Ray 2.60 `ray.runtime_env.RuntimeEnv`; differs: `env_vars` and `working_dir` only.
    """

    def __init__(self, **fields: Any) -> None:
        """Keep the fields that are given.

        Args:
            fields: `env_vars`, a dict of str to str; `working_dir`, a path.

        Raises:
            ValueError: another field.
            TypeError: a value of the wrong type.
        """
        given = {name: value for name, value in fields.items() if value is not None}
        table.check("task", {"runtime_env": given})
        super().__init__(given)


RuntimeEnv.__module__ = "burrow.runtime_env"
