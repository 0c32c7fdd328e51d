"""Actors: classes whose instances live in processes of their own; handles; methods."""

from __future__ import annotations

import hashlib
import inspect
import pickle
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from burrow_jupyter.api import checks, context
from burrow_jupyter.api.definitions import (
    Definition,
    Parameters,
    check_feasible,
    environment_of,
    is_generator,
    method_options,
    refuse_graph,
)
from burrow_jupyter.api.errors import to_exception
from burrow_jupyter.api.exceptions import (
    ActorAlreadyExistsError,
    ActorHandleNotFoundError,
    PendingCallsLimitExceeded,
)
from burrow_jupyter.api.ids import ActorID
from burrow_jupyter.api.refs import ObjectRef
from burrow_jupyter.api.tasks import refs_of
from burrow_jupyter.backends.protocol import Ended, Failed
from burrow_jupyter.core import options as table
from burrow_jupyter.core import resources
from burrow_jupyter.core.ids import short
from burrow_jupyter.core.messages import UPGRADE
from burrow_jupyter.core.options import ActorOptions, TaskOptions
from burrow_jupyter.engine import current, serialization, sources
from burrow_jupyter.engine.current import ExitActor

if TYPE_CHECKING:
    from burrow_jupyter.backends.protocol import Backend

_SPECIAL = ("__ray_ready__", "__ray_call__", "__ray_terminate__")
METHOD_MARK = "__burrow_method__"
_BACKPRESSURE = "_generator_backpressure_num_objects"
NO_ASYNC_BACKPRESSURE = (
    f"{_BACKPRESSURE} cannot be used with async actors: a producer that waits would stop "
    "every other call of the actor's loop"
)
OLD_HANDLE = (
    "this actor handle belongs to a session that has ended; "
    "create the actor again in the running one"
)


def method(*args: Any, **given: Any) -> Any:
    """Decorate a method of an actor class with options, such as `num_returns`.

    Raises:
        ValueError: no options, or unknown ones.
        TypeError: an option of the wrong type.

    Source: Ray 2.60 `ray.method`.
    """
    if args or not given:
        msg = "method() takes options only, as in @burrow.method(num_returns=2)"
        raise ValueError(msg)
    checked = table.check("method", given)

    def decorate(function: Any) -> Any:
        setattr(function, METHOD_MARK, checked)
        return function

    return decorate


class _Method:
    """What a handle knows of one method."""

    __slots__ = ("generator", "given", "options", "parameters")

    def __init__(self, class_name: str, name: str, function: Any, *, skip_first: bool) -> None:
        self.generator = is_generator(function)
        self.given: dict[str, Any] = getattr(function, METHOD_MARK, {})
        self.parameters = Parameters(function, f"{class_name}.{name}", skip_first=skip_first)
        self.options = method_options(self.given, class_name, name, generator=self.generator)


class ClassInfo:
    """What callers must know of an actor's class: its methods, without their code.

    Travels with every handle, and with the class for those who look an actor up by name.
    """

    def __init__(self, cls: type) -> None:
        """Look at a class."""
        self.name = cls.__name__
        self.key = (cls.__module__, cls.__qualname__)
        definition = sources.definition_of(cls).encode()
        self.definition = hashlib.blake2b(definition, digest_size=8).digest() if definition else b""
        self.methods: dict[str, _Method] = {}
        # Special methods count, too: one with `async def __init__` is made in a loop.
        self.is_async = any(_is_async(getattr(cls, name, None)) for name in dir(cls))
        for name in dir(cls):
            if name in _SPECIAL:
                continue
            static = inspect.getattr_static(cls, name)
            function = getattr(cls, name, None)
            if _is_dunder(name) and not (
                inspect.isfunction(function) or inspect.ismethod(function)
            ):
                continue  # what every object has
            if not callable(function) or isinstance(static, property) or inspect.isclass(static):
                continue
            bound = isinstance(static, classmethod | staticmethod)
            self.methods[name] = _Method(cls.__name__, name, function, skip_first=not bound)
        if self.is_async and any(m.options.backpressure for m in self.methods.values()):
            raise ValueError(NO_ASYNC_BACKPRESSURE)
        for name in _SPECIAL:
            self.methods[name] = _Method(cls.__name__, name, _anything, skip_first=False)

    def listed(self) -> list[str]:
        """Return the methods that are shown for completion."""
        return sorted(name for name in self.methods if name == "__call__" or not _is_dunder(name))


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def _nothing(self: object) -> None:
    """Stands for the constructor of a class that has none."""


def _anything(*args: Any, **kwargs: Any) -> None:
    """Stands for the methods that every actor has."""


_latest: WeakValueDictionary[tuple[str, str], ActorClass] = WeakValueDictionary()
"""The classes as they were last decorated, by module and name."""


class ActorClassInheritanceException(TypeError):  # Ray's name
    """A class was derived from an actor class.

    Source: Ray 2.60 `ray.actor.ActorClassInheritanceException`.
    """


class ActorClass:
    """A class whose instances are actors: `Cls.remote(...)` makes one and returns its handle."""

    def __init__(self, cls: type, given: dict[str, Any]) -> None:
        """Wrap `cls`; `given` are options checked by the table."""
        self._cls = cls
        self._given = given
        self._info = ClassInfo(cls)
        self._name = cls.__name__
        constructor = inspect.getattr_static(cls, "__init__")
        if constructor is object.__init__:
            constructor = _nothing
        self._parameters = Parameters(constructor, cls.__name__, skip_first=True)
        self._definition = self._define()
        _latest[self._info.key] = self
        for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
            setattr(self, attribute, getattr(cls, attribute, None))
        self.__wrapped__ = cls

    def _define(self) -> Definition:
        return Definition(self._cls, self._name, pickle.dumps(self._info, 5))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse: an actor is made with `.remote(...)`."""
        msg = (
            f"an actor class is not called directly: use {self._name}.remote(...) "
            f"(the plain class is {self._name}.__wrapped__)"
        )
        raise TypeError(msg)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        msg = (
            f"cannot inherit from the actor class {self._name}: "
            "leave the base class plain and decorate the classes made from it"
        )
        raise ActorClassInheritanceException(msg)

    @property
    def __ray_actor_class__(self) -> type:
        """The plain class, under the name that unit tests of programs for Ray take it from."""
        return self._cls

    @property
    def __ray_metadata__(self) -> SimpleNamespace:
        """As `__ray_actor_class__`: what such tests look at of Ray's own records."""
        return SimpleNamespace(modified_class=self._cls, class_name=self._cls.__qualname__)

    def __dir__(self) -> list[str]:
        return sorted({*self._info.listed(), "remote", "options", "bind"})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        cls = self.__dict__.get("_cls")
        if cls is not None and hasattr(cls, name):
            return getattr(cls, name)
        msg = f"the actor class {self.__dict__.get('_name')} has no attribute {name!r}"
        raise AttributeError(msg)

    def remote(self, /, *args: Any, **kwargs: Any) -> ActorHandle:
        """Make an actor; return its handle at once, before its constructor has run.

        Raises:
            TypeError: arguments that do not fit the constructor, or cannot be pickled.
            InfeasibleError: the burrow will never have what the options ask for.
            ActorAlreadyExistsError: the name is taken.

        Source: Ray 2.60 `ActorClass.remote`.
        """
        self._parameters.check(args, kwargs)
        backend = context.backend()
        options = _actor_options(self._name, self._given, self._info, backend)
        check_feasible(backend, self._name, options.shape)
        run_id = context.run_of_caller()
        code = self._definition.code_in(backend, run_id)
        try:
            actor_id = backend.create_actor(code.id, options, args, kwargs, run_id)
        except Ended as ended:
            raise ValueError(str(ended)) from None
        except Failed as failed:
            raise to_exception(failed.failure) from None
        except LookupError as error:
            raise ValueError(str(error)) from None
        except ValueError as error:
            raise ActorAlreadyExistsError(str(error)) from None
        return ActorHandle(actor_id, self._info, options, backend)

    def options(self, **given: Any) -> ActorClass:
        """Return the same class with other options; this one stays as it is.

        Raises:
            ValueError: an unknown option or a value out of range.
            TypeError: a value of the wrong type.
        """
        checked = table.check("actor options", given)
        other = ActorClass.__new__(ActorClass)
        other.__dict__.update(self.__dict__)
        merged = {**self._given, **checked}
        _check_combination(merged)
        other.__dict__["_given"] = merged
        return other

    def _remote(
        self, args: Any = None, kwargs: dict[str, Any] | None = None, **given: Any
    ) -> ActorHandle:
        """Do `options(**given).remote(*args, **kwargs)`, as older code writes it."""
        target = self.options(**given) if given else self
        return target.remote(
            *checks.items("args", args or ()), **checks.mapping("kwargs", kwargs or {})
        )

    bind = refuse_graph

    def __getstate__(self) -> dict[str, Any]:
        # With what was seen of the class: one whose methods name it is unpickled before it
        # is complete, and would be seen without its methods then.
        return {k: v for k, v in self.__dict__.items() if k != "_definition"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__dict__["_definition"] = self._define()

    def __repr__(self) -> str:
        return f"ActorClass({self._name})"


ActorClass.__module__ = "burrow"


def _check_combination(given: dict[str, Any]) -> None:
    if given.get("get_if_exists") and not given.get("name"):
        msg = "get_if_exists=True needs a name="
        raise ValueError(msg)


def make_actor_class(cls: type, given: dict[str, Any]) -> ActorClass:
    """Wrap a class that `@remote` decorates."""
    _check_combination(given)
    return ActorClass(cls, given)


def _actor_options(
    class_name: str, given: dict[str, Any], info: ClassInfo, backend: Backend
) -> ActorOptions:
    explicit = any(given.get(name) is not None for name in ("num_cpus", "num_gpus", "resources"))
    placing: resources.Shape = ()
    if explicit:
        # An actor that asks for a GPU and does not speak of CPUs holds one CPU, as in Ray,
        # unless there are more GPUs than CPUs: then that would leave GPUs that nobody
        # could ever use, and ten actors on ten logical GPUs would wait for ever.
        cpus = 1.0
        if backend.totals.get(resources.GPU, 0) > backend.totals.get(resources.CPU, 0):
            cpus = 0.0
        shape = table.demand_of(given, cpus)
    else:
        shape = table.demand_of(given, 0)
        placing = ((resources.CPU, resources.UNIT),)
    env_vars, directory = environment_of(given)
    concurrency = given.get("max_concurrency", 0)
    if given.get("allow_out_of_order_execution") is False and (info.is_async or concurrency > 1):
        msg = (
            "allow_out_of_order_execution=False cannot be kept by async actors and with "
            "max_concurrency above 1: their calls run side by side"
        )
        raise ValueError(msg)
    groups = tuple(sorted(given.get("concurrency_groups", {}).items()))
    return ActorOptions(
        class_name=class_name,
        name=given.get("name", ""),
        namespace=given.get("namespace") or backend.namespace,
        get_if_exists=given.get("get_if_exists", False),
        detached=given.get("lifetime") == "detached",
        shape=shape,
        placing=placing,
        max_restarts=given.get("max_restarts", 0),
        max_task_retries=given.get("max_task_retries", 0),
        max_concurrency=concurrency,
        max_pending_calls=given.get("max_pending_calls", -1),
        concurrency_groups=groups,
        env_vars=env_vars,
        working_dir=directory,
        is_async=info.is_async,
        out_of_order=info.is_async or concurrency > 1,
    )


class ActorMethod:
    """A method of an actor: `handle.m.remote(...)` returns a ref at once."""

    __slots__ = ("_given", "_handle", "_method", "_name")

    def __init__(self, handle: ActorHandle, name: str, known: _Method) -> None:
        self._handle = handle
        self._name = name
        self._method = known
        self._given: dict[str, Any] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse: a method is called with `.remote(...)`."""
        msg = f"a method of an actor is not called directly: use .{self._name}.remote(...)"
        raise TypeError(msg)

    def remote(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the method; return a ref to its result at once.

        Calls of one caller on one actor run one by one, in the order of submission.

        Returns:
            As `RemoteFunction.remote`.

        Raises:
            TypeError: arguments that do not fit, or cannot be pickled.
            PendingCallsLimitExceeded: `max_pending_calls` calls have not ended.
            ValueError: the actor, or an argument, is of an ended session.
        """
        known = self._method
        known.parameters.check(args, kwargs)
        return self._handle._call(self._name, known, self._given, args, kwargs)  # noqa: SLF001

    def options(self, **given: Any) -> ActorMethod:
        """Return the same method with other options for its calls."""
        other = ActorMethod(self._handle, self._name, self._method)
        other._given = {**(self._given or {}), **table.check("call", given)}
        return other

    def _remote(self, args: Any = None, kwargs: dict[str, Any] | None = None, **given: Any) -> Any:
        """Do `options(**given).remote(*args, **kwargs)`, as older code writes it."""
        target = self.options(**given) if given else self
        return target.remote(
            *checks.items("args", args or ()), **checks.mapping("kwargs", kwargs or {})
        )

    bind = refuse_graph

    def __repr__(self) -> str:
        return f"ActorMethod({self._handle._info.name}.{self._name})"  # noqa: SLF001


class ActorHandle:
    """A handle on an actor: its methods, picklable, equal to every other handle on it.

    The actor ends when the last handle is gone and its calls have run; handles from
    `get_actor` do not keep it alive.
    """

    def __init__(
        self,
        actor_id: int,
        info: ClassInfo,
        options: ActorOptions,
        backend: Backend,
        *,
        weak: bool = False,
        counted: bool = True,
    ) -> None:
        """Wrap an id that the backend has already counted for us, if it is to be `counted`.

        A `weak` handle is not, nor are those that others make of it.
        """
        self._id = actor_id
        self._info = info
        self._options = options
        self._backend = backend
        self._session = backend.session
        self._weak = weak
        self._counted = counted and not weak
        self._interned: dict[TaskOptions, int] = {}
        # Calls since the head was asked, and what it said. The first call asks: there may
        # be another handle on the actor here.
        self._pending = max(0, options.max_pending_calls)

    def __del__(self) -> None:
        try:
            if self._counted:
                self._backend.drop(self._id)
        except Exception:  # noqa: BLE001, S110  # half-made, or the interpreter is going down
            pass

    def __getattr__(self, name: str) -> Any:
        info: ClassInfo | None = self.__dict__.get("_info")
        known = info.methods.get(name) if info is not None else None
        if info is None or known is None:
            if info is not None and name == "upgrade":  # unless the class has its own
                return self._upgrade
            what = info.name if info is not None else "actor"
            msg = f"the actor class {what} has no method {name!r}"
            raise AttributeError(msg)
        return ActorMethod(self, name, known)

    def __dir__(self) -> list[str]:
        return self._info.listed()

    def _call(
        self,
        name: str,
        known: _Method,
        given: dict[str, Any] | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        code_id: int = 0,
    ) -> Any:
        backend = self._backend
        if context.current_or_none() is not backend:
            raise ActorHandleNotFoundError(OLD_HANDLE)
        limit = self._options.max_pending_calls
        if limit > 0:
            self._check_pending(limit)
        options = known.options
        if given and self._options.is_async and given.get(_BACKPRESSURE):
            raise ValueError(NO_ASYNC_BACKPRESSURE)
        retries = known.given.get("max_task_retries", self._options.max_task_retries)
        if given:
            merged = {**known.given, **given}
            options = method_options(merged, self._info.name, name, generator=known.generator)
            retries = merged.get("max_task_retries", self._options.max_task_retries)
        options_id = self._interned.get(options)
        if options_id is None:
            options_id = self._interned[options] = backend.intern(options)
        try:
            task_id = backend.call_actor(
                self._id,
                name,
                options_id,
                options,
                args,
                kwargs,
                context.run_of_caller(),
                retries,
                code_id,
            )
        except Ended as ended:
            raise ValueError(str(ended)) from None
        except Failed as failed:
            raise to_exception(failed.failure) from None
        return refs_of(task_id, options, backend, ObjectRef.of_actor)

    def _upgrade(self, cls: ActorClass | None = None) -> ObjectRef[None]:
        """Move the actor to the class as it is defined now; its state and its process stay.

        Happens in order with its calls. A method `__upgraded__` of the new class, if there
        is one, is called then, to bring the state in line; should it raise, the actor stays
        what it was. A restart makes the actor of the new class.

        Modules of the user's that were edited are loaded anew in its process first, as
        `importlib.reload` does: objects that it has of their classes stay what they are. Should
        one of them not load, the ref raises RuntimeError.

        Args:
            cls: what to move it to; by default the class of its name that was last defined.

        Returns:
            A ref that is ready when it is done.

        Raises:
            ValueError: no class of that name is defined here, or its calls would be run in
                another way (async, or not).
        """
        target = cls if cls is not None else _latest.get(self._info.key)
        if target is None:
            msg = (
                f"no actor class {self._info.name} is defined here; name one: "
                "handle.upgrade(TheClass)"
            )
            raise ValueError(msg)
        info = target._info  # noqa: SLF001  # a class of this module
        if info.is_async != self._options.is_async:
            kinds = ("is async", "is not") if info.is_async else ("is not async", "is")
            msg = f"{info.name} {kinds[0]} now, and the actor {kinds[1]}: make a new actor instead"
            raise ValueError(msg)
        backend = self._backend
        known = _Method(info.name, "upgrade", _anything, skip_first=False)
        code = target._definition.code_in(backend, context.run_of_caller())  # noqa: SLF001  # as above
        ref: ObjectRef[None] = self._call(UPGRADE, known, None, (), {}, code.id)
        self._info = info
        return ref

    def _check_pending(self, limit: int) -> None:
        """Count a call; ask the head how many have ended when there seem to be too many."""
        if self._pending >= limit:
            self._pending = self._backend.ask("unfinished calls", self._id)
            if self._pending >= limit:
                msg = (
                    f"{self._pending} calls of the actor {self._info.name} have not ended, and "
                    f"max_pending_calls={limit}; get() some of their results first"
                )
                raise PendingCallsLimitExceeded(msg)
        self._pending += 1

    @property
    def _actor_id(self) -> ActorID:
        return ActorID(f"{self._session:016x}{self._id:016x}")

    _ray_actor_id = _actor_id

    def __eq__(self, other: object) -> bool:
        if isinstance(other, ActorHandle):
            return self._id == other._id and self._session == other._session
        return NotImplemented

    def __hash__(self) -> int:
        return hash((self._id, self._session))

    def __repr__(self) -> str:
        return f"ActorHandle({self._info.name}, {short(self._id)})"

    def __reduce__(self) -> tuple[Any, ...]:
        if not self._weak:
            serialization.note(self._id)
        return _rebuild_handle, (
            self._id,
            self._session,
            self._info,
            self._options,
            self._weak,
        )


ActorHandle.__module__ = "burrow"


def is_older(meta: bytes) -> bool:
    """Say whether a class, as an actor has it, was defined otherwise here since then."""
    info: ClassInfo = pickle.loads(meta)  # noqa: S301  # made by a driver or worker of ours
    latest = _latest.get(info.key)
    if latest is None or not info.definition:
        return False
    return latest._info.definition not in (b"", info.definition)  # noqa: SLF001  # of this module


def _rebuild_handle(
    actor_id: int,
    session: int,
    info: ClassInfo,
    options: ActorOptions,
    weak: bool,  # noqa: FBT001  # a pickle has no keywords
) -> ActorHandle:
    running = context.current_or_none()
    if running is None or running.session != session:
        raise ActorHandleNotFoundError(OLD_HANDLE)
    # An actor's handle on itself does not keep it alive; but those that others get from it do.
    counted = not weak and current.facts.actor_id != actor_id
    if counted:
        running.adopt(actor_id)
    return ActorHandle(actor_id, info, options, running, weak=weak, counted=counted)


def get_actor(name: str, namespace: str | None = None) -> ActorHandle:
    """Return a handle on a living actor by its name; it does not keep the actor alive.

    Raises:
        ValueError: there is no such actor, or the name is empty.
        TypeError: the name is no `str`.

    Source: Ray 2.60 `ray.get_actor`.
    """
    if not name and isinstance(name, str):
        msg = "Please supply a non-empty value to get_actor"
        raise ValueError(msg)
    table.check_name("name", name)
    if namespace is not None:
        table.check_name("namespace", namespace)
    backend = context.backend()
    try:
        actor_id, meta, options = backend.named_actor(name, namespace or backend.namespace)
    except LookupError as error:
        raise ValueError(str(error.args[0])) from None
    info: ClassInfo = pickle.loads(meta)  # noqa: S301  # made by a driver or worker of ours
    return ActorHandle(actor_id, info, options, backend, weak=True)


def own_handle() -> ActorHandle:
    """Return a handle on the actor that calls this; it does not keep the actor alive.

    Raises:
        RuntimeError: called outside an actor.
    """
    facts = current.facts
    if not facts.actor_id:
        msg = "current_actor is known in actors only"
        raise RuntimeError(msg)
    info = ClassInfo(facts.actor_class)
    return ActorHandle(facts.actor_id, info, facts.actor_options, context.backend(), weak=True)


def exit_actor() -> None:
    """End the actor that calls this, at once: no restart, and nothing after this runs.

    Raises:
        TypeError: called outside an actor.

    Source: Ray 2.60 `ray.actor.exit_actor`.
    """
    if not current.call().actor_id:
        msg = "exit_actor() was called outside an actor"
        raise TypeError(msg)
    current.call().leaving = True
    raise ExitActor
