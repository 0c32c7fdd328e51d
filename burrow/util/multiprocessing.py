"""`multiprocessing.Pool` over actors."""

from multiprocessing import JoinableQueue, TimeoutError  # noqa: A004  # what users of pools use

from burrow_jupyter.api.util.pool import AsyncResult, Pool

__all__ = ("AsyncResult", "JoinableQueue", "Pool", "TimeoutError")
