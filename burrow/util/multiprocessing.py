"""`multiprocessing.Pool` over actors."""

from multiprocessing import TimeoutError  # noqa: A004  # what users of pools catch

from burrow_jupyter.api.util.pool import AsyncResult, Pool

__all__ = ("AsyncResult", "Pool", "TimeoutError")
