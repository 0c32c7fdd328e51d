"""Types for annotations by the module name that code written for Ray uses."""

from burrow_jupyter.api.refs import ObjectRef

__all__ = ("ObjectRef",)
