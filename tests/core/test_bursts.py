"""Bursts: messages that are gone through in one loop mean what they mean one by one."""

from __future__ import annotations

import random

import pytest

from burrow_jupyter.core import messages
from burrow_jupyter.core.failures import Cancelled
from burrow_jupyter.core.messages import Value
from burrow_jupyter.core.options import TaskOptions
from burrow_jupyter.core.scheduler import step
from helpers.scenario import Burrow, raised, shape


class Play:
    """One history of frames full of everything, as the seed wants it."""

    def __init__(self, seed: int, *, observed: bool) -> None:
        self.random = random.Random(seed)
        self.burrow = Burrow(cpus=2, gold=1)
        if observed:
            self.burrow.driver("observer").say(messages.Observe())
        self.driver = self.burrow.driver()
        self.code = [self.driver.define(name) for name in ("f", "g")]
        self.options = [
            self.driver._options(TaskOptions(name="f", function="f", **options))
            for options in (
                {"shape": shape()},
                {"shape": shape(1, gold=1)},
                {"shape": shape(), "num_returns": 2},
                {"shape": shape(), "max_calls": 1},
                {"shape": shape(0.5)},
            )
        ]
        self.run_id = self.driver.new_id()
        self.driver.say(messages.DefineRun(self.run_id, "cell", "", ""))
        self.actors = [self.driver.create("A"), self.driver.create("B", out_of_order=True)]
        for actor in self.actors:
            self.burrow.worker_for(actor).ready()
        self.made: list[int] = []
        self.at_hand: set[int] = set()
        """Results that workers keep for those that ride behind them."""

    def submit(self) -> messages.Submit:
        choose = self.random.choice
        options = choose(self.options) if self.random.random() < 0.2 else self.options[0]
        count = 2 if options == self.options[2] else 1
        first = self.driver._mint.block(count)
        deps = [choose(self.made)] if self.made and self.random.random() < 0.2 else []
        contained = [choose(self.made)] if self.made and self.random.random() < 0.1 else []
        self.made += range(first, first + count)
        return messages.Submit(
            first,
            self.code[self.random.random() < 0.1],
            options,
            choose([None, Value(b"args", contained=contained)]),
            deps,
            [0] if deps else [],
            choose([0, 0, 0, self.run_id]),
            choose([0, 0, 0, 0, *self.burrow.running()]),
        )

    def call(self) -> messages.Call:
        choose = self.random.choice
        deps = [choose(self.made)] if self.made and self.random.random() < 0.1 else []
        task = self.driver.new_id()
        self.made.append(task)
        return messages.Call(
            task,
            choose([*self.actors * 20, 7]),
            "method",
            choose(self.options[:1] * 9 + self.options[4:]),
            choose([None, Value(b"args")]),
            deps,
            [0] if deps else [],
            choose([0, 0, 0, self.run_id]),
            max_task_retries=choose([0, 1]),
        )

    def other(self) -> object:
        one = self.random.choice(self.made)
        return self.random.choice(
            [messages.Cancel(one), messages.Get([one], 1), messages.Get([one], 1, values=False)]
        )

    def drop(self) -> messages.Drop:
        gone = self.random.sample(self.made, len(self.made) // 4)
        self.made = [one for one in self.made if one not in gone]
        return messages.Drop(gone)

    def done(self, task: int) -> messages.Done | messages.Returned:
        run = next(r for r in reversed(self.runs) if r.task_id == task)
        if None in run.values and not self.at_hand.issuperset(run.deps):
            return messages.Returned([task])
        micros = self.random.choice([0, 1, 10, 100, 10_000])
        if self.random.random() < 0.1:
            failure = self.random.choice([raised(), Cancelled(task)])
            return messages.Done(task, [], failure, micros, self.random.random() < 0.5)
        if run.options_id == self.options[2]:
            return messages.Done(task, [Value(b"1"), Value(b"2")], None, micros)
        self.at_hand.add(task)
        large, holder = Value(b"v" * 20_000), Value(b"c", contained=[self.made[-1]])
        value = self.random.choice([Value(b"value")] * 8 + [large, holder])
        return messages.Done(task, [value], None, micros)

    def play(self) -> Burrow:
        for _ in range(30):
            self.driver.say(*(self.submit() for _ in range(self.random.randrange(1, 20))))
            self.driver.say(*(self.call() for _ in range(self.random.randrange(1, 20))))
            if self.random.random() < 0.1 and self.actors:
                self.driver.kill(self.random.choice(self.actors), no_restart=True)
            if self.random.random() < 0.3:
                self.driver.say(self.other(), self.submit(), self.submit())
            for worker in list(self.burrow.workers.values()):
                self.runs = worker.heard(messages.Run)
                count = self.random.randrange(len(worker.runs) + 1)
                ended, worker.runs = worker.runs[:count], worker.runs[count:]
                if ended:
                    worker.say(*map(self.done, ended))
                if worker.heard(messages.Exit):
                    worker.die()
            if self.random.random() < 0.5:
                self.driver.say(self.drop())
            self.burrow.after(self.random.choice([0.0001, 0.01]))
        return self.burrow


def told(burrow: Burrow) -> dict[int, list[object]]:
    return {peer: client.inbox for peer, client in burrow.clients.items()}


@pytest.mark.parametrize("observed", [False, True])
def test_a_frame_says_the_same_whether_it_is_gone_through_in_one_loop_or_not(monkeypatch, observed):
    for seed in range(20):
        at_once = Play(seed, observed=observed).play()
        with monkeypatch.context() as patch:
            patch.setattr(step, "_BURSTS", {})
            one_by_one = Play(seed, observed=observed).play()

        assert told(at_once) == told(one_by_one), f"seed {seed}"
        for counts in ("dirty_functions", "dirty_tasks", "dirty_workers"):
            assert set(getattr(at_once.state, counts)) == set(getattr(one_by_one.state, counts))


def test_a_thousand_calls_of_an_actor_are_sent_on_and_ended():
    burrow = Burrow(cpus=1)
    driver = burrow.driver()
    actor = driver.create("A")
    worker = burrow.worker_for(actor)
    worker.ready()
    options = driver._options(TaskOptions("A.m", "A.m"))
    ids = [driver.new_id() for _ in range(1000)]

    driver.say(*(messages.Call(one, actor, "m", options) for one in ids))
    runs, worker.runs = worker.runs, []
    worker.say(*(messages.Done(run, [Value(b"value")]) for run in runs))
    driver.drop(*ids, actor)

    assert runs == ids
    assert all(driver.value(one) == b"value" for one in ids)
    assert not burrow.state.tasks
    assert not burrow.state.objects
    assert worker.heard(messages.Exit)


def test_a_thousand_calls_are_entered_ended_and_forgotten():
    burrow = Burrow(cpus=2)
    driver = burrow.driver()
    code, options = driver.define("f"), driver._options(TaskOptions("f", "f", shape()))
    ids = [driver.new_id() for _ in range(1000)]

    driver.say(*(messages.Submit(one, code, options) for one in ids))
    while any(worker.runs for worker in burrow.workers.values()):
        for worker in burrow.workers.values():
            runs, worker.runs = worker.runs, []
            worker.say(*(messages.Done(run, [Value(b"value")], None, 10) for run in runs))
    driver.drop(*ids)

    assert all(driver.value(one) == b"value" for one in ids)
    assert not burrow.state.tasks
    assert not burrow.state.objects
    assert burrow.free() == 2
