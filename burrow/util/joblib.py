"""A joblib backend: `register_burrow()`, then `joblib.parallel_config("burrow")`."""

from burrow_jupyter.api.util.joblib import register_burrow, register_ray

__all__ = ("register_burrow", "register_ray")
