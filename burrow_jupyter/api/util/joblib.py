"""A joblib backend: scikit-learn and everything else over joblib runs on the burrow's workers."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Any

import joblib
from joblib.parallel import ParallelBackendBase

from burrow_jupyter.api import context
from burrow_jupyter.api.calls import get, put
from burrow_jupyter.api.refs import ObjectRef, fetch
from burrow_jupyter.api.remote import remote
from burrow_jupyter.api.util.batches import seeded
from burrow_jupyter.core import resources
from burrow_jupyter.engine import current, seeds

if TYPE_CHECKING:
    from collections.abc import Callable

SHARED_MIN_BYTES = 100_000
"""Arrays from this size on are put once and not sent with each batch."""


class BurrowBackend(ParallelBackendBase):  # type: ignore[misc]  # joblib has no types
    """Runs joblib's batches as tasks.

    Source: joblib 1.5 `ParallelBackendBase`.
    """

    supports_retrieve_callback = True
    supports_timeout = True
    supports_inner_max_num_threads = False
    uses_threads = False
    supports_sharedmem = False
    default_n_jobs = -1  # of who asks for this backend and names no number

    def __init__(self, **options: Any) -> None:
        """Args: options: of the tasks, as in `@remote(...)`, besides joblib's own."""
        own = {"nesting_level", "inner_max_num_threads"}
        super().__init__(**{k: v for k, v in options.items() if k in own})
        self._options = {k: v for k, v in options.items() if k not in own}
        self._task: Any = None
        self._shared: dict[int, tuple[Any, ObjectRef[Any]]] = {}
        self._seed = self._sent = 0
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        # Batches carry the backend of calls nested in them.
        return _rebuild, (self.nesting_level, self._options)

    def configure(
        self,
        n_jobs: int = 1,
        parallel: Any = None,
        prefer: Any = None,
        require: Any = None,
        **_: Any,
    ) -> int:
        """Start the burrow if none runs; return how many batches run at once."""
        count = self.effective_n_jobs(n_jobs)
        self.parallel = parallel
        # joblib waits by looking now and then, which keeps its CPU: what is nested in a task
        # must not need one, or all would wait for each other.
        nested = {"num_cpus": 0} if self.nesting_level else {}
        given = {"name": "joblib", "max_retries": 0, **self._options, **nested}
        self._task = remote(**given)(_run)
        self._seed, self._sent = seeds.for_next_call(), 0
        return count

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many batches run at once; -1 is as many as there are CPUs."""
        if n_jobs == 0:
            msg = "n_jobs == 0 in Parallel has no meaning"
            raise ValueError(msg)
        cpus = max(1, int(context.backend().totals.get(resources.CPU, 1.0)))
        if n_jobs is None:
            return cpus
        return n_jobs if n_jobs > 0 else max(1, cpus + 1 + n_jobs)

    def submit(self, func: Any, callback: Callable[[Any], None]) -> ObjectRef[Any]:
        """Run a batch; `callback` gets the ref when it is done."""
        # joblib submits one batch at a time, as large as the time that others took suggests.
        start = self._sent
        self._sent += len(getattr(func, "items", (func,)))
        run, batch = self._task.remote, self._with_shared(func)
        ref: ObjectRef[Any] = seeds.giving(self._seed, run, batch, start)
        ref._backend.when_done(  # noqa: SLF001  # the API's own
            ref.id,
            # joblib's callback submits the next batch: not in the thread that reads.
            lambda: threading.Thread(target=callback, args=(ref,), daemon=True).start(),
        )
        return ref

    apply_async = submit

    def retrieve_result_callback(self, out: ObjectRef[Any]) -> Any:
        """Return the results of a batch, or raise its error."""
        return fetch(out)

    def _with_shared(self, batch: Any) -> Any:
        """Put large arrays once, and send refs to them in their place."""
        items = getattr(batch, "items", None)
        if items is None:
            return batch
        batch.items = [
            (
                function,
                tuple(map(self._share, args)),
                {name: self._share(value) for name, value in kwargs.items()},
            )
            for function, args, kwargs in items
        ]
        return batch

    def _share(self, value: Any) -> Any:
        size = getattr(value, "nbytes", 0)
        if not isinstance(size, int) or size < SHARED_MIN_BYTES:
            return value
        with self._lock:
            known = self._shared.get(id(value))
            if known is None:
                # The value is kept as well, so that its id stays its own.
                known = self._shared[id(value)] = (value, put(value))
        return _Shared(known[1])

    def terminate(self) -> None:
        """Let go of what was shared."""
        self._shared.clear()

    def abort_everything(self, ensure_ready: bool = True) -> None:  # noqa: FBT001, FBT002  # joblib's call
        """Something has failed; what still runs is not waited for."""
        self.terminate()
        if ensure_ready:
            self.configure(n_jobs=self.parallel.n_jobs, parallel=self.parallel)

    def get_nested_backend(self) -> tuple[Any, int | None]:
        """Parallel calls inside a task run on the burrow as well."""
        return BurrowBackend(nesting_level=(self.nesting_level or 0) + 1, **self._options), None


def _rebuild(nesting_level: int | None, options: dict[str, Any]) -> BurrowBackend:
    return BurrowBackend(nesting_level=nesting_level, **options)


class _Shared:
    """Stands for a large array in the arguments of a batch."""

    def __init__(self, ref: ObjectRef[Any]) -> None:
        self.ref = ref


def _own(value: Any) -> Any:
    return get(value.ref) if isinstance(value, _Shared) else value


def _run(batch: Any, start: int) -> Any:
    """Run a batch, on a worker; `start`: the number of its first call."""
    items = getattr(batch, "items", None)
    seed = current.call().seed
    numbers = itertools.count(start)
    if items is not None:
        batch.items = [
            (
                seeded(function, seed, numbers) if seed else function,
                tuple(map(_own, args)),
                {name: _own(v) for name, v in kwargs.items()},
            )
            for function, args, kwargs in items
        ]
    return batch()


def register_burrow() -> None:
    """Make `joblib.parallel_config("burrow")` work."""
    joblib.register_parallel_backend("burrow", BurrowBackend)


def register_ray() -> None:
    """Make `joblib.parallel_backend("ray")` mean the burrow."""
    joblib.register_parallel_backend("ray", BurrowBackend)
