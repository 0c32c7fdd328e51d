"""What remote functions and actor classes have in common: code sent when it is new.

Also the check of arguments at the call, in the caller, as a local call would check them.
"""

from __future__ import annotations

import contextlib
import inspect
from typing import TYPE_CHECKING, Any

from burrow_jupyter.api import context
from burrow_jupyter.api.errors import to_exception
from burrow_jupyter.api.exceptions import InfeasibleError
from burrow_jupyter.backends.protocol import Failed
from burrow_jupyter.core import resources
from burrow_jupyter.core.options import DYNAMIC, STREAMING, TaskOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from burrow_jupyter.backends.protocol import Backend

_NO_GRAPHS = (
    "graphs that are declared by bind() and run later are Ray's: call with .remote(); a ref that "
    "is an argument is waited for, so the calls make the same graph"
)
_PLAIN_KINDS = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)


def refuse_graph(self: object, *args: Any, **kwargs: Any) -> Any:
    """Refused: graphs that are declared first and run later are Ray's.

    Raises:
        NotImplementedError: always; it says what to do.
    """
    raise NotImplementedError(_NO_GRAPHS)


class Code:
    """A function or class as one session knows it, for as long as somebody may call it."""

    __slots__ = ("_backend", "id")

    def __init__(self, code_id: int, backend: Backend) -> None:
        """Wrap an id that the backend has already counted for us."""
        self.id = code_id
        self._backend = backend

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # the interpreter is going down
            self._backend.let_go(self.id)


class Definition:
    """A function or class, made known in each session; shared by all its `.options()`.

    In a notebook it is looked at anew once in each run of a cell: what it uses (globals,
    helpers, other remote functions) may have been changed by cells meanwhile.
    """

    __slots__ = ("_code", "_meta", "_name", "_run_id", "_session", "_target")

    def __init__(self, target: Any, name: str, meta: bytes = b"") -> None:
        """Args: meta: of a class: what those who look up an actor must know of it."""
        self._target = target
        self._name = name
        self._meta = meta
        self._session = -1
        self._run_id = 0
        self._code: Code | None = None

    def code_in(self, backend: Backend, run_id: int) -> Code:
        """Return its code in a run of a session; the first call there pickles it.

        Hold it until what names its id was submitted.

        Raises:
            TypeError: it cannot be pickled.
            ValueError: it is unreasonably large.
        """
        code = self._code
        if code is None or self._session != backend.session or run_id != self._run_id:
            if code is None or self._session != backend.session or not context.in_worker():
                try:
                    code_id = backend.define(self._target, self._name, self._meta, run_id=run_id)
                except Failed as failed:
                    raise to_exception(failed.failure) from None
                self._code = code = Code(code_id, backend)
            self._session = backend.session
            self._run_id = run_id
        return code


class Parameters:
    """Checks arguments against a signature; the common call costs two comparisons."""

    __slots__ = ("_name", "_signature", "most", "needed")

    def __init__(
        self, function: Callable[..., Any], name: str, *, skip_first: bool = False
    ) -> None:
        """Args: skip_first: leave out `self`, or what stands for it."""
        self._name = name
        self._signature: inspect.Signature | None
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):  # some built-in functions do not tell
            self._signature = None
            self.needed, self.most = 0, 1 << 30
            return
        parameters = list(signature.parameters.values())
        if skip_first and parameters and parameters[0].kind is not inspect.Parameter.VAR_POSITIONAL:
            parameters = parameters[1:]
        # Handles carry signatures to other processes: names and kinds are enough there,
        # the user's defaults and annotations may not even be picklable.
        parameters = [
            p.replace(annotation=p.empty, default=p.empty if p.default is p.empty else None)
            for p in parameters
        ]
        self._signature = inspect.Signature(parameters)
        self.needed = sum(p.default is p.empty and p.kind in _PLAIN_KINDS for p in parameters)
        self.most = sum(p.kind in _PLAIN_KINDS for p in parameters)
        if any(p.kind is p.VAR_POSITIONAL for p in parameters):
            self.most = 1 << 30
        if any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
            self.needed = 1 << 30  # never the short way

    def check(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Raise what a local call would.

        Raises:
            TypeError: too few, too many, unknown or doubled arguments.
        """
        if not kwargs and self.needed <= len(args) <= self.most:
            return
        if self._signature is not None:
            try:
                self._signature.bind(*args, **kwargs)
            except TypeError as error:
                msg = f"{self._name}: {error}; its signature is {self._name}{self._signature}"
                raise TypeError(msg) from None


def is_generator(function: Any) -> bool:
    """Say whether calling the function gives a generator, also an asynchronous one."""
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def returns_of(given: Mapping[str, Any], name: str, *, generator: bool) -> int:
    """Return `num_returns` as a number.

    Raises:
        ValueError: "dynamic" or "streaming" for a function that yields nothing.
    """
    asked = given.get("num_returns")
    if asked in ("dynamic", "streaming"):
        if not generator:
            msg = f'num_returns="{asked}" can only be used with generator functions; {name} is none'
            raise ValueError(msg)
        return DYNAMIC if asked == "dynamic" else STREAMING
    if asked is None:
        return STREAMING if generator else 1
    return int(asked)


def retries_of(given: Mapping[str, Any]) -> tuple[bool, bytes]:
    """Return `retry_exceptions` as a flag and, for a list, the pickled types."""
    asked = given.get("retry_exceptions", False)
    if isinstance(asked, bool):
        return asked, b""
    import cloudpickle  # noqa: PLC0415  # 25 ms, paid by those who use it

    return True, cloudpickle.dumps(tuple(asked), 5)


def environment_of(given: Mapping[str, Any]) -> tuple[tuple[tuple[str, str], ...], str]:
    """Return the environment variables and the working directory that were asked for."""
    asked = given.get("runtime_env") or {}
    return tuple(sorted(asked.get("env_vars", {}).items())), asked.get("working_dir", "")


def check_feasible(backend: Backend, name: str, shape: resources.Shape) -> None:
    """Raise at once for a demand that this burrow can never meet.

    Raises:
        InfeasibleError: it names what is asked for, what there is and how to get it.
    """
    for key, units in shape:
        total = backend.totals.get(key, 0.0)
        if resources.to_quantity(units) <= total or backend.waits_for_infeasible:
            continue
        wanted = _figure(key, resources.to_quantity(units))
        have = f"only {_figure(key, total)}" if total else "none"
        what = "bytes of memory" if key == resources.MEMORY else key
        raise InfeasibleError(
            f"{name} asks for {wanted} {what}, but this burrow has {have}. Start one that has it: "
            f"burrow.shutdown(); burrow.init({_how(key, wanted)})"
        )


def _figure(key: str, quantity: float) -> str:
    return f"{quantity:.0f}" if key == resources.MEMORY else f"{quantity:g}"


def _how(key: str, wanted: str) -> str:
    if key == resources.CPU:
        return f"num_cpus={wanted}"
    if key == resources.GPU:
        return f"num_gpus={-(-float(wanted) // 1):g}"
    return f'resources={{"{key}": {wanted}}}'


def method_options(
    given: Mapping[str, Any], class_name: str, method: str, *, generator: bool
) -> TaskOptions:
    """Return the options of a method's calls."""
    name = f"{class_name}.{method}"
    count = returns_of(given, name, generator=generator)
    retry_exceptions, types = retries_of(given)
    return TaskOptions(
        name=given.get("name", name),
        function=name,
        num_returns=count,
        max_retries=0,
        retry_exceptions=retry_exceptions,
        retry_types=types,
        timeout_s=float(given.get("timeout", 0.0)),
        backpressure=max(0, given.get("_generator_backpressure_num_objects", 0)),
        concurrency_group=given.get("concurrency_group", ""),
        generator=generator,
    )
