"""Environments of workers by the module name that code written for Ray uses."""

from burrow_jupyter.api.environments import RuntimeEnv

__all__ = ("RuntimeEnv",)
