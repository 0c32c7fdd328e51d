"""Remote functions: a function, its options, and `.remote()`."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from burrow_jupyter.api import checks, context
from burrow_jupyter.api.definitions import (
    Definition,
    Parameters,
    check_feasible,
    environment_of,
    is_generator,
    refuse_graph,
    retries_of,
    returns_of,
)
from burrow_jupyter.api.errors import to_exception
from burrow_jupyter.api.refs import ObjectRef, ObjectRefGenerator
from burrow_jupyter.backends.protocol import Ended, Failed
from burrow_jupyter.core import options as table
from burrow_jupyter.core.options import STREAMING, TaskOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from burrow_jupyter.api.definitions import Code
    from burrow_jupyter.backends.protocol import Backend

P = ParamSpec("P")
T = TypeVar("T")


class RemoteFunction(Generic[P, T]):
    """A function whose calls run on workers: `f.remote(...)` returns a ref at once."""

    def __init__(self, function: Callable[P, T], given: dict[str, Any]) -> None:
        """Wrap `function`; `given` are options checked by the table."""
        self._function = function
        self._given = given
        self._name = _name_of(function)
        self._parameters = Parameters(function, self._name)
        self._options = _task_options(function, self._name, given)
        self._wrap(function)
        self._forget_session()

    def _forget_session(self) -> None:
        self._session = -1
        self._run_id = 0
        self._code: Code  # as of the run
        self._options_id = 0
        self._definition = Definition(self._function, self._name)

    def _wrap(self, function: Any) -> None:
        for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
            try:
                setattr(self, attribute, getattr(function, attribute))
            except AttributeError:
                continue
        self.__wrapped__ = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse: a remote function is called with `.remote(...)`."""
        msg = (
            f"a remote function is not called directly: use {self._name}.remote(...) "
            f"(the plain function is {self._name}._function)"
        )
        raise TypeError(msg)

    def remote(self, /, *args: P.args, **kwargs: P.kwargs) -> ObjectRef[T]:
        """Submit a call; return a ref to its result at once.

        The arguments are checked here as in a local call. A ref among them is waited for
        and replaced by its value; refs inside containers stay refs.

        Returns:
            One ref; a list of refs if `num_returns` is above 1; `None` if it is 0; an
            `ObjectRefGenerator` for a generator function.

        Raises:
            TypeError: arguments that do not fit, or cannot be pickled.
            InfeasibleError: the burrow will never have what the options ask for.
            ValueError: an argument is a ref of an ended session.

        Source: Ray 2.60 `RemoteFunction.remote`.
        """
        parameters = self._parameters
        if kwargs or not parameters.needed <= len(args) <= parameters.most:
            parameters.check(args, kwargs)
        backend = context.backend()
        run_id = context.run_of_caller()
        try:
            if backend.session != self._session or run_id != self._run_id:
                self._open(backend, run_id)
            code = self._code  # held until the call was submitted
            task_id = backend.submit(
                code.id,
                self._options_id,
                self._options,
                args,
                kwargs,
                run_id,
            )
        except Ended as ended:
            raise ValueError(str(ended)) from None
        except Failed as failed:
            raise to_exception(failed.failure) from None
        if self._options.num_returns == 1:
            return ObjectRef(task_id, backend)
        several: ObjectRef[T] = refs_of(task_id, self._options, backend)
        return several

    def _open(self, backend: Backend, run_id: int) -> None:
        """Make the code known in a new run of a cell, and the options in a new session."""
        self._code = self._definition.code_in(backend, run_id)
        self._run_id = run_id
        if backend.session != self._session:
            check_feasible(backend, self._options.name, self._options.shape)
            self._options_id = backend.intern(self._options)
            self._session = backend.session

    def options(self, **given: Any) -> RemoteFunction[P, T]:
        """Return the same function with other options; this one stays as it is.

        Options that are not named keep the decorator's values.

        Raises:
            ValueError: an unknown option or a value out of range.
            TypeError: a value of the wrong type.
        """
        checked = table.check("task options", given)
        other: RemoteFunction[P, T] = RemoteFunction.__new__(RemoteFunction)
        other.__dict__.update(self.__dict__)
        merged = {**self._given, **checked}
        other._given = merged
        other._options = _task_options(self._function, self._name, merged)
        other._session = -1
        return other

    def _remote(
        self,
        args: Any = None,
        kwargs: dict[str, Any] | None = None,
        **given: Any,
    ) -> Any:
        """Do `options(**given).remote(*args, **kwargs)`, as older code writes it."""
        target = self.options(**given) if given else self
        remote: Any = target.remote
        return remote(*checks.items("args", args or ()), **checks.mapping("kwargs", kwargs or {}))

    bind = refuse_graph

    def __getstate__(self) -> dict[str, Any]:
        # With what was seen of the function: one that calls itself is unpickled before it
        # is complete, and would be seen without its defaults then.
        return {k: v for k, v in self.__dict__.items() if k not in _OF_SESSION}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget_session()

    def __repr__(self) -> str:
        return f"RemoteFunction({self._name})"


RemoteFunction.__module__ = "burrow"
_OF_SESSION = frozenset({"_session", "_run_id", "_code", "_options_id", "_definition"})


def refs_of(
    task_id: int,
    options: TaskOptions,
    backend: Backend,
    make: Callable[[int, Backend], ObjectRef[Any]] = ObjectRef,
) -> Any:
    """Return what a call with these options gives its caller; `make` wraps an id."""
    count = options.num_returns
    if count in (1, table.DYNAMIC):
        return make(task_id, backend)
    if count == STREAMING:
        done = make(task_id, backend)
        return ObjectRefGenerator(done, backend, backpressure=options.backpressure)
    if count == 0:
        return None
    return [make(task_id + index, backend) for index in range(count)]


def _name_of(function: Any) -> str:
    name = getattr(function, "__name__", None)
    if not name and isinstance(function, functools.partial):
        return _name_of(function.func)
    return name or type(function).__name__


def _task_options(function: Any, name: str, given: dict[str, Any]) -> TaskOptions:
    generator = is_generator(function)
    count = returns_of(given, name, generator=generator)
    retry_exceptions, types = retries_of(given)
    env_vars, directory = environment_of(given)
    gpus = given.get("num_gpus", 0)
    module = getattr(function, "__module__", "") or ""
    qualname = getattr(function, "__qualname__", name)
    return TaskOptions(
        name=given.get("name") or name,
        function=f"{module}.{qualname}",
        shape=table.demand_of(given, 1),
        num_returns=count,
        max_retries=given.get("max_retries", 3),
        retry_exceptions=retry_exceptions,
        retry_types=types,
        # Device memory comes back only with the process (Ray's default, too).
        max_calls=given.get("max_calls", 1 if gpus else 0),
        timeout_s=float(given.get("timeout", 0.0)),
        backpressure=max(0, given.get("_generator_backpressure_num_objects", 0)),
        env_vars=env_vars,
        working_dir=directory,
        generator=generator,
    )
