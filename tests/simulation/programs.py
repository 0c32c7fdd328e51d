"""Random programs: what fake drivers and fake user code do with tasks, actors and objects.

A program must be able to end: waits without a bound are only for children that depend
on nothing but what their parent was given, and by code that holds no more than CPUs.
Everything else waits with a timeout, as in a correct program of a user's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from burrow_jupyter.core import messages, resources
from burrow_jupyter.core.options import FOREVER, STREAMING, ActorOptions, TaskOptions

from .direct import Directly
from .processes import (
    FAILED,
    PENDING,
    VALUE,
    Client,
    Crash,
    Entry,
    ExitActor,
    GaveUp,
    Interrupted,
    StreamEnd,
    Thread,
    UserRaised,
    Wait,
    Worker,
)
from .wires import Wire

if TYPE_CHECKING:
    from collections.abc import Generator

    from .simulator import World

    Steps = Generator[float | Wait, bool, Any]

UNIT = resources.UNIT
CPU = resources.CPU
DEEPEST = 3


class Script:
    """What one call does when it runs."""

    __slots__ = ("catches", "crashes", "depth", "duration_s", "items", "plain", "raises", "steps")

    def __init__(self) -> None:
        self.depth = 0
        self.duration_s = 0.0
        self.steps: list[str] = []
        self.crashes = 0.0
        self.raises = 0.0
        self.catches = False
        self.items = 0
        self.plain = False  # it returns something small


class Driver(Client):
    """A kernel."""

    role = "driver"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.actions = 0
        self.infeasible: list[int] = []
        self.run_id = 0
        self.satisfied = False
        self.directly = Directly(self)

    def die(self) -> None:
        """The kernel is killed."""
        if self.alive:
            self.alive = False
            self.world.tell(f"{self} dies")
            self.world.driver_died(self)


class Observer(Driver):
    """Looks only."""

    role = "observer"


class Programs:
    """All user code of one history."""

    def __init__(self, world: World, *, actions: int) -> None:
        self.world = world
        self.actions = actions
        self.scripts: dict[int, Script] = {}
        self.actors: dict[int, ActorOptions] = {}
        self.makers: dict[int, Client] = {}
        rng = world.random
        self.crashy = rng.choice([0.0, 0.05, 0.2]) if world.trouble else 0.0
        self.frees = rng.random() < 0.2
        self.keeps = rng.random() < 0.3  # actors keep refs, perhaps on what leads to themselves
        self.wild = rng.random() < 0.7  # cancels, kills
        self.for_gpus = rng.choice([0.0, 0.5]) if world.gpus else 0.0  # tasks of parts of them
        self.budget: float = 12 * actions  # calls in all, against avalanches
        self.loops = rng.random() < 0.3  # over short calls, and little else

    # ---- drivers ---------------------------------------------------------------------

    def begin(self) -> None:
        """Connect the drivers, and at times an observer."""
        world = self.world
        rng = world.random
        count = rng.choice([1, 1, 2, 3])
        for number in range(count + (rng.random() < 0.2)):
            driver = Driver(world) if number < count else Observer(world)
            driver.wire = Wire(world, driver)
            driver.wire.up([messages.Hello(driver.role, 1)])
            world.drivers.append(driver)
            Thread(driver, self._drive(driver)).resume()
        if world.trouble and rng.random() < 0.4:
            victim = rng.choice(world.drivers)
            if victim is not world.drivers[0] or rng.random() < 0.1:
                world.after(rng.random() * 2, victim.die)

    def _drive(self, driver: Driver) -> Steps:
        world = self.world
        rng = world.random
        yield Wait(lambda: driver.id > 0)
        if isinstance(driver, Observer):
            driver.out.append(messages.Observe())
            driver.flush()
            yield rng.random()
            driver.satisfied = True
            driver.die()
            return
        names = list(_ACTIONS)
        weights = list(_ACTIONS.values())
        if self.loops:
            weights[names.index("loop")] = sum(weights) // 3
        for number in range(self.actions // len(world.drivers)):
            if number % 15 == 0:
                driver.run_id = driver.mint.next()
                driver.out.append(messages.DefineRun(driver.run_id, f"[{number}]"))
            yield rng.choice([0.0, 0.0, 0.0005, 0.01, 0.1])
            action = rng.choices(names, weights)[0]
            yield from getattr(self, f"_do_{action}")(driver)
        driver.directly.give_back()
        yield from self._satisfy(driver)

    def _satisfy(self, driver: Driver) -> Steps:
        """Wait for everything that is held; end what would hold others up."""
        for task_id in driver.infeasible:
            driver.out.append(messages.Cancel(task_id))
        driver.flush()
        for _ in range(100):
            for actor_id, options in list(self.actors.items()):
                if options.shape or options.placing != () or options.detached:
                    driver.out.append(messages.Kill(actor_id))
            for task_id, stream in driver.streams.items():
                if not stream.closed:
                    driver.out.append(messages.StreamCredit(task_id, stream.received + 100))
            driver.flush()
            ids = self._objects(driver)
            if (yield from self._wait_all(driver, ids)):
                driver.satisfied = True
                return
            yield 0.3

    def _wait_all(self, driver: Driver, ids: list[int]) -> Steps:
        for object_id in ids:
            if object_id in driver.entries and not (
                yield from driver.wait([object_id], 1, values=True, timeout_s=2.0)
            ):
                return False
        return True

    def check_answers(self) -> None:
        """Everybody who asked was answered."""
        if self.world.stopped:
            return
        for driver in self.world.drivers:
            if driver.alive:
                waiting = [f"{i:x}" for i, e in driver.entries.items() if e.state == PENDING]
                self.world.require(driver.satisfied, f"{driver} still waits for {waiting[:8]}")
                endless = [f"{i:x}" for i, s in driver.streams.items() if not s.closed | s.ended]
                self.world.require(not endless, f"{driver} waits for more items of {endless[:8]}")

    def let_go(self, *, everything: bool) -> None:
        """Drop every ref and handle; end the actors that need none."""
        for driver in self.world.drivers:
            if not driver.alive:
                continue
            for any_id, entry in list(driver.entries.items()):
                for _ in range(entry.count):
                    driver.drop(any_id)
            for actor_id, options in self.actors.items():
                # One that is had by its name may be in what it was made of.
                last = everything and (options.shape or options.name)
                if options.detached or self.keeps or last:
                    driver.out.append(messages.Kill(actor_id))
            for key in list(driver.codes) if everything else ():
                self._let_go_of_code(driver, key)
            driver.flush()

    # ---- what drivers do -------------------------------------------------------------

    def _do_submit(self, driver: Driver) -> Steps:
        rng = self.world.random
        task_id = self.submit(driver, self._pool(driver))
        if self.wild and task_id and self.scripts[task_id].steps and rng.random() < 0.5:
            cancel = messages.Cancel(task_id, rng.random() < 0.3, rng.random() < 0.7)
            self.world.after(rng.random(), lambda: driver.post(cancel))  # it may have children
        yield 0.0

    def _do_burst(self, driver: Driver) -> Steps:
        rng = self.world.random
        pool = self._pool(driver) if rng.random() < 0.3 else []
        for _ in range(rng.randint(3, 25)):
            self.submit(driver, pool, burst=True)
        yield 0.0

    def _do_loop(self, driver: Driver) -> Steps:
        """Bursts of short plain calls one after the other, and now and then something else."""
        rng = self.world.random
        first = self.submit(driver, [], burst=True, plain=True)
        driver.flush()
        if first:
            yield self._told(driver, [first], 0.2)
        for _ in range(rng.randint(1, 3)):
            made: list[int] = []
            for _ in range(rng.choice([1, 2, 8, 16])):
                task_id = self.submit(driver, [], burst=True, plain=True)
                if task_id:
                    made.append(task_id)
                if rng.random() < 0.05:
                    driver.flush()
                    yield rng.choice([0.0, 0.0005])
            driver.flush()
            if made and rng.random() < 0.8:
                yield self._told(driver, made, rng.choice([0.0, 0.0005, 0.003, 0.2]))
            what = rng.random()
            if not made or what > 0.4:
                pass
            elif what < 0.1 and self.wild:
                driver.post(messages.Cancel(rng.choice(made), rng.random() < 0.3))
            elif what < 0.2:
                self.submit(driver, made)
            elif what < 0.25:
                self.put(driver, made)
            elif what < 0.3:
                yield from self._do_ask(driver)
            elif what < 0.35 and self._handles(driver):
                self.call(driver, self._handles(driver)[0], made)
            else:
                self.submit(driver, [], burst=True)
            made = rng.choice([made, made[::-1], rng.sample(made, len(made))])
            driver.drop_all(made[: rng.choice([len(made), len(made), len(made) // 2, 0])])

    def _told(self, driver: Driver, ids: list[int], patience_s: float) -> Wait:
        """Wait for what a driver is told of unasked."""
        entries = [driver.entries[i] for i in ids]
        return Wait(lambda: all(e.state in (VALUE, FAILED) for e in entries), patience_s)

    def _do_put(self, driver: Driver) -> Steps:
        self.put(driver, self._pool(driver))
        yield 0.0

    def _do_get(self, driver: Driver) -> Steps:
        rng = self.world.random
        ids = self._some(self._objects(driver), 4)
        if ids:
            values = rng.random() < 0.7
            need = len(ids) if values else rng.randint(1, len(ids))
            timeout = rng.choice([0.0, 0.01, 0.2, 2.0])
            yield from driver.wait(ids, need, values=values, timeout_s=timeout)
            for object_id in ids:
                entry = driver.entries.get(object_id)
                if entry is not None and entry.value is not None and not entry.loaded:
                    entry.loaded = True
                    driver.load(entry.value)

    def _do_drop(self, driver: Driver) -> Steps:
        for any_id in self._some(list(driver.entries), 4):
            driver.drop(any_id)
        yield 0.0

    def _do_cancel(self, driver: Driver) -> Steps:
        rng = self.world.random
        if self.wild:
            pool = self._objects(driver)
            if rng.random() < 0.7:  # what is there already is not worth it
                pool = [i for i in pool if driver.entries[i].state == PENDING]
            for object_id in self._some(pool, 3):
                driver.post(messages.Cancel(object_id, rng.random() < 0.3, rng.random() < 0.7))
        yield 0.0

    def _do_cancel_run(self, driver: Driver) -> Steps:
        if self.wild:
            driver.post(messages.CancelRun(driver.run_id, self.world.random.random() < 0.3))
        yield 0.0

    def _do_free(self, driver: Driver) -> Steps:
        if self.frees:
            driver.post(messages.Free(self._some(self._objects(driver), 2)))
        yield 0.0

    def _do_actor(self, driver: Driver) -> Steps:
        yield from self.create(driver, self._pool(driver))

    def _do_call(self, driver: Driver) -> Steps:
        handles = self._handles(driver)
        if handles:
            actor_id = self.world.random.choice(handles)
            for _ in range(self.world.random.choice([1, 1, 2, 6])):
                self.call(driver, actor_id, self._pool(driver))
        yield 0.0

    def _do_lane(self, driver: Driver) -> Steps:
        """A call that waits for its argument, and calls behind it; at times it is cancelled."""
        rng = self.world.random
        handles = self._handles(driver)
        if handles:
            actor_id = rng.choice(handles)
            argument = self.submit(driver, [])
            first = self.call(driver, actor_id, [], deps=[argument] if argument else [])
            for _ in range(rng.choice([1, 3])):
                self.call(driver, actor_id, [])
            if first and rng.random() < 0.5:
                yield rng.choice([0.0, 0.01])
                driver.post(messages.Cancel(first))
        yield 0.0

    def _do_direct(self, driver: Driver) -> Steps:
        """Tasks one by one, sent to a worker that is lent."""
        rng = self.world.random
        directly = driver.directly
        code_id = self._code(driver, 0)
        shape = rng.choice([((CPU, UNIT),), ((CPU, UNIT),), ((CPU, UNIT // 2),)])
        options = TaskOptions(
            name="f0", function="f0", shape=shape, max_retries=rng.choice([0, 1, 3])
        )
        options_id = self._options(driver, options)
        if directly.loan is None:
            first = self.submit(driver, [], burst=True)
            answered = directly.answered
            reach = messages.Reach(b"key", first, 0, driver.run_id, [code_id], [options_id])
            driver.post(reach)
            driver.flush()
            yield Wait(lambda: directly.answered > answered, 0.1)
        for _ in range(rng.randint(1, 6)):
            way = directly.loan
            state = self.world.state
            if way is None or self.budget <= 0 or not directly.is_free(way):
                break
            if driver.codes.get(0) != code_id:
                break  # it was edited meanwhile
            if options_id not in state.options or code_id not in state.codes:
                break  # what the head does not know is not sent past it
            self.budget -= 1
            task_id = driver.mint.next()
            self.scripts[task_id] = self._script(0, burst=rng.random() < 0.6)
            self.world.facts.submitted(task_id, driver, options, options.max_retries)
            args = driver.make_value((), plain=True) if rng.random() < 0.5 else None
            number = way.worker.number
            directly.fly(
                way,
                messages.Direct(
                    task_id, code_id, options_id, driver.id, number, args, driver.run_id
                ),
            )
            yield from self._await_direct(driver, task_id)
        if rng.random() < 0.5:
            directly.give_back()
        elif directly.loan is not None:
            self.world.after(0.02, directly.give_back)

    def _await_direct(self, driver: Driver, task_id: int) -> Steps:
        rng = self.world.random
        entry = driver.entries[task_id]
        what = rng.random()
        if what < 0.15:
            self.submit(driver, [task_id])  # that it has not come is not waited for
        elif what < 0.25 and self.wild:
            driver.post(messages.Cancel(task_id, rng.random() < 0.3))
        elif what < 0.3:
            driver.drop(task_id)
            return
        if not (yield Wait(lambda: entry.state != PENDING, 0.002)):
            driver.directly.tell(task_id)
            if rng.random() < 0.7:
                yield Wait(lambda: entry.state != PENDING, 0.5)
        if task_id in driver.entries and rng.random() < 0.7:
            driver.drop(task_id)

    def _do_direct_call(self, driver: Driver) -> Steps:
        """Calls of an actor one by one, sent to its process."""
        rng = self.world.random
        directly = driver.directly
        handles = [i for i in self._handles(driver) if not self.actors[i].out_of_order]
        if not handles:
            return
        actor_id = rng.choice(handles)
        options = TaskOptions(name="C.m", function="C.m", retry_exceptions=rng.random() < 0.3)
        if actor_id not in directly.to_actors or options not in driver.options:
            if options in driver.options or rng.random() < 0.9:
                self.call(driver, actor_id, [], deps=[], options=options)
            answered = directly.answered
            driver.post(messages.Reach(b"key", 0, actor_id))
            driver.flush()
            yield Wait(lambda: directly.answered > answered, 0.1)
            yield Wait(lambda: directly.is_clear(actor_id), 0.5)
        retries = self.actors[actor_id].max_task_retries
        if (self.crashy or options.retry_exceptions) and retries == FOREVER:
            retries = 2
        for _ in range(rng.randint(1, 6)):
            way = directly.to_actors.get(actor_id)
            if (
                way is None
                or self.budget <= 0
                or actor_id not in driver.entries
                or not directly.is_clear(actor_id)
                or not directly.is_free(way)
                # The order of calls is kept because none is made of which the process lacks anything.
                or driver.options.get(options) not in way.worker.known_options
            ):
                break
            self.budget -= 1
            task_id = driver.mint.next()
            self.scripts[task_id] = self._script(0, burst=rng.random() < 0.6)
            facts = self.world.facts
            facts.submitted(task_id, driver, options, retries)
            facts.called(task_id, driver, actor_id, in_order=True)
            directly.fly(
                way,
                messages.Direct(
                    task_id,
                    0,
                    self._options(driver, options),
                    driver.id,
                    way.worker.number,
                    None,
                    driver.run_id,
                    actor_id,
                    "m",
                    retries,
                ),
            )
            yield from self._await_direct(driver, task_id)

    def _do_kill(self, driver: Driver) -> Steps:
        rng = self.world.random
        handles = self._handles(driver)
        if handles and self.wild:
            actor_id = rng.choice(handles)
            no_restart = rng.random() < 0.5
            driver.directly.to_actors.pop(actor_id, None)
            driver.post(messages.Kill(actor_id, no_restart))
            if no_restart:
                self.world.facts.killed(driver, actor_id)
                if rng.random() < 0.5:
                    self.call(driver, actor_id, [])
        yield 0.0

    def _do_lookup(self, driver: Driver) -> Steps:
        rng = self.world.random
        request = driver.mint.next()
        name = rng.choice(["anna", "bob"])
        driver.out.append(messages.Query(request, "named actor", [name, "home"]))
        driver.flush()
        yield Wait(lambda: request in driver.answers)
        answer = driver.answers.pop(request)
        if not answer.error:
            self.call(driver, answer.payload["actor"], [])  # the handle is weak

    def _do_ask(self, driver: Driver) -> Steps:
        rng = self.world.random
        what = rng.choice(["tasks", "actors", "objects", "workers", "functions", "available"])
        driver.out.append(messages.Query(driver.mint.next(), what))
        ids = self._some(list(driver.entries), 3)
        driver.out.append(messages.Query(driver.mint.next(), "describe tasks", [ids]))
        driver.flush()
        yield 0.0

    def _do_consume(self, driver: Driver) -> Steps:
        rng = self.world.random
        for task_id, stream in list(driver.streams.items()):
            if stream.items and rng.random() < 0.7:
                item = stream.items.pop(0)
                driver.post(messages.StreamCredit(task_id, stream.received - len(stream.items)))
                if rng.random() < 0.5 and item in driver.entries:
                    yield from driver.wait([item], 1, values=True, timeout_s=1.0)
                driver.drop(item)
        yield 0.0

    # ---- choices ---------------------------------------------------------------------

    def _some(self, pool: list[int], most: int) -> list[int]:
        rng = self.world.random
        return rng.sample(pool, min(len(pool), rng.randint(0, most)))

    def _objects(self, client: Client) -> list[int]:
        return [i for i in client.entries if i not in self.actors]

    def _handles(self, client: Client) -> list[int]:
        return [i for i in client.entries if i in self.actors]

    def _pool(self, client: Client) -> list[int]:
        return list(client.entries)

    # ---- submitting ------------------------------------------------------------------

    def _code(self, client: Client, key: int) -> int:
        rng = self.world.random
        code_id = client.codes.get(key)
        if code_id is not None and rng.random() < 0.1:  # it was edited
            self._let_go_of_code(client, key)
            code_id = None
        if code_id is None:
            code_id = client.codes[key] = client.mint.next()
            kept = self._some(list(client.entries), 1) if rng.random() < 0.05 else []
            self.keeps = self.keeps or bool(kept)  # code may be kept for long, and what is in it
            value = client.make_value(kept)
            captured = [self.put(client, [])] if rng.random() < 0.1 else []
            client.out.append(messages.DefineCode(code_id, f"f{key}", value, b"", captured))
            for any_id in captured:
                client.drop(any_id)
        return code_id

    def _let_go_of_code(self, client: Client, key: int) -> None:
        client.post(messages.Drop([client.codes.pop(key)]))

    def _options(self, client: Client, options: TaskOptions) -> int:
        options_id = client.options.get(options)
        if options_id is None:
            options_id = client.options[options] = client.mint.next()
            client.out.append(messages.DefineOptions(options_id, options))
        return options_id

    def _shape(self, *, nested: bool) -> resources.Shape:
        world = self.world
        rng = world.random
        if self.for_gpus and rng.random() < self.for_gpus:
            return ((resources.GPU, rng.choice([UNIT // 2, UNIT // 4, 3 * UNIT // 4])),)
        kind = rng.random()
        if kind < 0.55:
            return ((CPU, UNIT),)
        if kind < 0.7:
            return ((CPU, rng.choice([UNIT // 2, UNIT // 10, 3 * UNIT // 10])),)
        if kind < 0.78:
            return ()
        if kind < 0.84:
            return ((CPU, UNIT), ("gold", rng.choice([UNIT, 2 * UNIT])))
        if kind < 0.94 and world.gpus:
            share = rng.choice([UNIT, UNIT // 2, UNIT // 4, len(world.gpus) * UNIT])
            return (
                ((CPU, UNIT), (resources.GPU, share))
                if rng.random() < 0.5
                else ((resources.GPU, share),)
            )
        if kind < 0.97 and not nested:
            return ((CPU, 99 * UNIT),)
        return ((CPU, world.cpus * UNIT),)

    def _script(self, depth: int, *, burst: bool) -> Script:
        rng = self.world.random
        script = Script()
        script.depth = depth
        script.crashes = self.crashy if rng.random() < 0.5 else 0.0
        script.raises = rng.choice([0.0, 0.0, 0.0, 0.3, 1.0])
        script.catches = rng.random() < 0.3
        if burst:
            script.duration_s = rng.choice([0.0, 0.00005, 0.0002])
            if rng.random() < 0.03:
                script.duration_s = 0.3  # one that is not what its brothers were
            script.raises = 0.0
            if rng.random() < 0.9:
                script.crashes = 0.0
        else:
            script.duration_s = rng.choice([0.0, 0.0002, 0.002, 0.02, 0.2, 1.0])
            if depth < DEEPEST and rng.random() < 0.4:
                script.steps = rng.choices(_STEPS, k=rng.randint(1, 6))
        script.items = rng.choice([0, 1, 2, 5])
        return script

    def submit(
        self,
        client: Client,
        pool: list[int],
        *,
        depth: int = 0,
        parent: int = 0,
        burst: bool = False,
        plain: bool = False,
    ) -> int:
        """Call a function. Return the id of its first result, 0 if nothing was called."""
        rng = self.world.random
        if self.budget <= 0:
            return 0
        self.budget -= 0.5 if plain else 1
        script = self._script(depth, burst=burst)
        script.plain = plain
        shape = ((CPU, UNIT),) if burst else self._shape(nested=depth > 0)
        code = 0 if burst else rng.randint(1, 4)
        options = TaskOptions(name=f"f{code}", function=f"f{code}", shape=shape)
        if plain:
            options = msgspec.structs.replace(options, max_retries=rng.choice([3] * 9 + [1]))
        elif not burst:
            options = self._random_options(options, nested=depth > 0)
        options_id = self._options(client, options)
        deps = self._some([i for i in pool if i not in self.actors], 3) if pool else []
        if options.num_returns in (1, STREAMING):
            task_id = client.mint.next()
        else:
            task_id = client.mint.block(max(1, options.num_returns))
        args = None
        if rng.random() < 0.7:
            args = client.make_value(self._some(pool, 2), plain=burst)
        code_id = self._code(client, code)
        self.scripts[task_id] = script
        run_id = client.run_id if isinstance(client, Driver) else 0
        self.world.facts.submitted(task_id, client, options, options.max_retries)
        self.world.facts.runs[task_id] = run_id
        post = client.out.append if plain else client.post
        post(
            messages.Submit(
                task_id, code_id, options_id, args, deps, list(range(len(deps))), run_id, parent
            )
        )
        self._expect(client, task_id, options)
        if isinstance(client, Driver) and dict(shape).get(CPU, 0) > self.world.cpus * UNIT:
            client.infeasible.append(task_id)
        return task_id

    def _expect(self, client: Client, task_id: int, options: TaskOptions) -> None:
        count = options.num_returns
        for object_id in range(task_id, task_id + (count if count >= 0 else 1)):
            client.expect(object_id)
        if count == STREAMING:
            client.streams[task_id] = StreamEnd()

    def _random_options(self, options: TaskOptions, *, nested: bool) -> TaskOptions:
        rng = self.world.random
        generator = rng.random() < 0.15
        count = rng.choice([1, 1, 1, 1, 0, 2, 3])
        if generator:
            count = rng.choice([STREAMING, STREAMING, 2])
        env: tuple[tuple[str, str], ...] = ()
        if rng.random() < 0.1:
            env = (("A", rng.choice("xy")),)
        elif rng.random() < 0.02:
            env = (("BAD", "1"),)
        retries_exceptions = rng.random() < 0.3
        has_gpu = any(name == resources.GPU for name, _ in options.shape)
        return TaskOptions(
            name=options.name,
            function=options.function,
            shape=options.shape,
            num_returns=count,
            max_retries=rng.choice([0, 1, 3, 3 if retries_exceptions or self.crashy else FOREVER]),
            retry_exceptions=retries_exceptions,
            max_calls=1 if has_gpu and rng.random() < 0.7 else rng.choice([0, 0, 0, 0, 1, 2]),
            # A producer that pauses keeps its CPU; drivers take what it makes, tasks may not.
            backpressure=rng.choice([0, 0, 1, 2]) if generator and not nested else 0,
            env_vars=env,
            generator=generator,
        )

    def put(self, client: Client, pool: list[int]) -> int:
        """Put a value."""
        object_id = client.mint.next()
        value = client.make_value(self._some(pool, 3))
        self.world.facts.made(object_id, value)
        client.expect(object_id, PENDING)
        client.post(messages.Put(object_id, value))
        client.entries[object_id].state = 1
        return object_id

    # ---- actors ----------------------------------------------------------------------

    def create(self, client: Client, pool: list[int], *, depth: int = 0, parent: int = 0) -> Steps:
        """Make an actor; return its id, 0 if there is none."""
        rng = self.world.random
        if self.budget <= 0:
            return 0
        self.budget -= 3
        script = self._script(depth, burst=False)
        script.raises = 0.1
        code_id = self._code(client, 7)
        name = rng.choice(["anna", "bob"]) if rng.random() < 0.3 else ""
        concurrency = rng.choice([1, 1, 1, 3])
        shape: resources.Shape = ()
        if rng.random() < 0.25:
            shape = self._shape(nested=depth > 0)
        options = ActorOptions(
            class_name="C",
            name=name,
            namespace="home",
            get_if_exists=bool(name) and rng.random() < 0.6,
            detached=rng.random() < 0.1,
            shape=shape,
            placing=rng.choice([(), ((CPU, UNIT),)]),
            max_restarts=rng.choice([0, 0, 1, 2 if self.crashy else FOREVER]),
            max_task_retries=rng.choice([0, 1, FOREVER]),
            max_concurrency=concurrency,
            env_vars=(("BAD", "1"),) if rng.random() < 0.02 else (),
            out_of_order=concurrency > 1,
        )
        actor_id = client.mint.next()
        self.actors[actor_id] = options
        self.scripts[actor_id] = script
        args = client.make_value(self._some(pool, 2)) if rng.random() < 0.5 else None
        deps = self._some([i for i in pool if i not in self.actors], 2)
        client.expect(actor_id, 1)
        client.post(
            messages.CreateActor(
                actor_id, code_id, options, args, deps, list(range(len(deps))), 0, parent
            )
        )
        if self.frees and deps and rng.random() < 0.5:
            client.post(messages.Free(deps[:1]))
        if not name:
            return actor_id
        client.flush()
        try:
            yield Wait(lambda: actor_id in client.answers)
        except Interrupted:
            client.abandoned.add(actor_id)
            raise
        answer = client.answers.pop(actor_id)
        if answer.payload == actor_id:
            return actor_id
        client.entries.pop(actor_id, None)
        if answer.payload is None:
            return 0
        client.adopt(answer.payload)
        return answer.payload

    def call(
        self,
        client: Client,
        actor_id: int,
        pool: list[int],
        *,
        deps: list[int] | None = None,
        depth: int = 0,
        parent: int = 0,
        options: TaskOptions | None = None,
    ) -> int:
        """Call a method; of what is in the pool, some are its arguments, if `deps` are not."""
        rng = self.world.random
        if self.budget <= 0:
            return 0
        self.budget -= 1
        actor_options = self.actors[actor_id]
        script = self._script(depth, burst=rng.random() < 0.5)
        generator = options is None and rng.random() < 0.1
        options = options or TaskOptions(
            name="C.m",
            function="C.m",
            num_returns=STREAMING if generator else rng.choice([1, 1, 1, 0, 2]),
            retry_exceptions=rng.random() < 0.3,
            concurrency_group=rng.choice(["", "", "", "io"]) if actor_options.out_of_order else "",
            generator=generator,
        )
        options_id = self._options(client, options)
        count = options.num_returns
        task_id = (
            client.mint.next() if count in (1, STREAMING) else client.mint.block(max(1, count))
        )
        if deps is None:
            objects = [i for i in pool if i not in self.actors]
            deps = self._some(objects, 2) if rng.random() < 0.4 else []
        args = client.make_value(self._some(pool, 2)) if rng.random() < 0.4 else None
        retries = actor_options.max_task_retries
        if (self.crashy or options.retry_exceptions) and retries == FOREVER:
            retries = 2
        self.scripts[task_id] = script
        facts = self.world.facts
        facts.submitted(task_id, client, options, retries)
        facts.called(task_id, client, actor_id, in_order=not actor_options.out_of_order)
        run_id = client.run_id if isinstance(client, Driver) else 0
        client.post(
            messages.Call(
                task_id,
                actor_id,
                "m",
                options_id,
                args,
                deps,
                list(range(len(deps))),
                run_id,
                parent,
                retries,
            )
        )
        self._expect(client, task_id, options)
        if client.directly is not None:
            never = Entry(PENDING)  # that a call has returned which returns nothing is not seen
            client.directly.last[actor_id] = client.entries.get(task_id, never)
        return task_id

    # ---- running ---------------------------------------------------------------------

    def construct(self, worker: Worker, message: messages.BecomeActor, refs: list[int]) -> Steps:
        """Run a constructor."""
        script = self.scripts[message.actor_id]
        rng = self.world.random
        yield script.duration_s
        if rng.random() < script.crashes:
            raise Crash
        if rng.random() < script.raises:
            raise UserRaised(retryable=False)
        if rng.random() < 0.02:
            raise ExitActor

    def execute(
        self, worker: Worker, run: messages.Run, options: TaskOptions, refs: list[int]
    ) -> Steps:
        """Run a call; return refs that are in its result."""
        script = self.scripts[run.task_id]
        rng = self.world.random
        clean: list[int] = []
        try:
            yield script.duration_s / 2
            for step in script.steps:
                yield from self._step(step, worker, run, script, refs, clean)
            yield script.duration_s / 2
            if options.generator:
                yield from self._generate(worker, run, options, script, refs)
            if rng.random() < script.crashes:
                raise Crash
            if rng.random() < script.raises:
                raise UserRaised(retryable=options.retry_exceptions)
            if worker.actor is not None and rng.random() < 0.01:
                raise ExitActor
        except Interrupted:
            if not script.catches or options.generator:
                raise
            if rng.random() < 0.5:  # who goes on after it was cancelled may begin more
                yield from self._step("submit", worker, run, script, refs, clean)
        if self.keeps and worker.actor is not None and refs and rng.random() < 0.3:
            kept = refs.pop()  # into the actor's state
            worker.state_refs.append(kept)
        return self._some(refs, 2)

    def _step(
        self,
        step: str,
        worker: Worker,
        run: messages.Run,
        script: Script,
        refs: list[int],
        clean: list[int],
    ) -> Steps:
        rng = self.world.random
        depth = script.depth + 1
        task_id = run.task_id
        if step == "submit":
            pool = clean if rng.random() < 0.5 else refs
            child = self.submit(worker, list(pool), depth=depth, parent=task_id)
            fresh = [i for i in range(child, child + 3) if i in worker.entries]
            refs += fresh
            if pool is clean and child not in worker.streams:
                clean += fresh
        elif step == "put":
            refs.append(self.put(worker, refs))
        elif step == "call":
            handles = [i for i in refs if i in self.actors]
            if handles:
                child = self.call(worker, rng.choice(handles), refs, depth=depth, parent=task_id)
                refs += [i for i in range(child, child + 3) if i in worker.entries]
            elif worker.actor is not None and rng.random() < 0.5:
                yield from self._knot(worker, run, depth)
        elif step == "actor":
            actor_id = yield from self.create(worker, refs, depth=depth, parent=task_id)
            if actor_id:
                refs.append(actor_id)
        elif step == "drop" and refs:
            gone = refs.pop(rng.randrange(len(refs)))
            if gone in clean:
                clean.remove(gone)
            worker.drop(gone)
        elif step == "get":
            yield from self._get(worker, run, refs, clean)
        elif step == "pause" and worker.actor is None:
            yield from self._pause(worker, run, self._some(refs, 2), rng.choice([0.0, 0.003, 0.05]))
        elif step == "cancel" and self.wild and clean:
            worker.post(messages.Cancel(rng.choice(clean), rng.random() < 0.3))

    def _knot(self, worker: Worker, run: messages.Run, depth: int) -> Steps:
        """An actor that runs one call at a time calls itself, and waits: for ever, if not told."""
        if self.actors[worker.own_handle].out_of_order:
            return
        child = self.call(worker, worker.own_handle, [], deps=[], depth=depth, parent=run.task_id)
        if child not in worker.entries:  # there is none, or it returns nothing
            return
        self.world.facts.knots.add(run.task_id)
        try:
            yield from worker.wait([child], 1, values=True, task_id=run.task_id)
        except GaveUp:
            options = worker.known_options[run.options_id]
            raise UserRaised(retryable=options.retry_exceptions) from None
        finally:
            self.world.facts.knots.discard(run.task_id)
            if worker.alive:
                worker.drop(child)

    def _get(self, worker: Worker, run: messages.Run, refs: list[int], clean: list[int]) -> Steps:
        rng = self.world.random
        options = worker.known_options[run.options_id]
        bound = worker.actor is not None or any(name != CPU for name, _ in options.shape)
        bound = bound or rng.random() < 0.4 or self.frees
        pool = [i for i in (refs if bound else clean) if i not in self.actors]
        ids = list(dict.fromkeys(self._some(pool, 4)))
        if not ids:
            return
        values = rng.random() < 0.6
        need = len(ids) if values else rng.randint(1, len(ids))
        timeout = rng.choice([0.0, 0.003, 0.05, 0.5]) if bound else None
        beside = rng.choice(pool) if rng.random() < 0.2 else 0
        yield from worker.wait(
            ids, need, values=values, timeout_s=timeout, task_id=run.task_id, beside=beside
        )
        if values:
            for object_id in ids:
                entry = worker.entries[object_id]
                if entry.value is not None and not entry.loaded:
                    entry.loaded = True
                    refs += worker.load(entry.value)
                elif entry.state == FAILED and rng.random() < 0.3:
                    raise UserRaised(retryable=options.retry_exceptions)

    def _pause(
        self, worker: Worker, run: messages.Run, ids: list[int], until: float | Wait
    ) -> Steps:
        """Wait for something else than objects, as for an item of a stream."""
        worker.post(messages.Paused(run.task_id, ids))
        worker.flush()
        try:
            yield until
        finally:
            worker.post(messages.Resumed(run.task_id))
            worker.flush()

    def _generate(
        self,
        worker: Worker,
        run: messages.Run,
        options: TaskOptions,
        script: Script,
        refs: list[int],
    ) -> Steps:
        rng = self.world.random
        streams = options.num_returns == STREAMING
        count = script.items if streams else options.num_returns
        for index in range(count):
            yield rng.choice([0.0, 0.001, 0.01])
            if streams and options.backpressure:
                yield from self._pause(
                    worker,
                    run,
                    [],
                    Wait(
                        lambda index=index: (  # type: ignore[misc]
                            (taken := worker.credits.get(run.task_id, 0)) < 0
                            or index - taken < options.backpressure
                        )
                    ),
                )
            if streams and index < run.skip:
                continue
            object_id = worker.mint.next() if streams else run.task_id + index
            value = worker.make_value(self._some(refs, 1))
            self.world.facts.made(object_id, value)
            worker.post(messages.Yielded(run.task_id, index, object_id, value))
            worker.flush()
            if rng.random() < script.crashes / 3:
                raise Crash


_STEPS = [
    "submit", "submit", "submit", "put", "call", "call", "actor", "drop", "get", "get", "get",
    "cancel", "pause",
]  # fmt: skip
_ACTIONS = {
    "submit": 20,
    "burst": 8,
    "loop": 3,
    "put": 5,
    "get": 10,
    "drop": 8,
    "cancel": 6,
    "cancel_run": 2,
    "free": 2,
    "actor": 6,
    "call": 14,
    "lane": 3,
    "kill": 2,
    "lookup": 2,
    "ask": 1,
    "consume": 4,
    "direct": 6,
    "direct_call": 6,
}
