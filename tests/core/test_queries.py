"""Queries: what people are told about a burrow, and why something is not there yet."""

import pytest

from burrow_jupyter.core import limits, messages
from burrow_jupyter.core.ids import short
from helpers.scenario import Burrow, raised, shape


@pytest.fixture
def driver(two):
    return two.driver()


# ---- rows ------------------------------------------------------------------------------


def test_resources_are_told_as_people_write_them():
    burrow = Burrow(cpus=2, gpus=1, gold=0.5)
    driver = burrow.driver()
    driver.submit("f", need=shape(0.5, gold=0.5))

    assert driver.ask("totals") == {"CPU": 2, "GPU": 1, "gold": 0.5}
    assert driver.ask("available") == {"CPU": 1.5, "GPU": 1, "gold": 0}


def test_a_task_is_followed_from_waiting_to_its_end(one):
    driver = one.driver()
    first = driver.submit("first")
    second, third = driver.submit("second", first), driver.submit("third")
    assert [driver.state_of(t) for t in (first, second, third)] == ["running", "waiting", "ready"]

    one.end(first)
    one.end(third, failure=raised("no"))

    rows = {row["name"]: row for row in driver.ask("tasks")}
    assert rows["first"]["state"] == "finished"
    assert rows["third"]["error"] == "ValueError: no"
    assert rows["second"]["state"] == "running"


def test_tasks_of_one_run_are_told_apart(two, driver):
    runs = [driver.new_id() for _ in range(2)]
    driver.say(*(messages.DefineRun(run, f"[{at}]") for at, run in enumerate(runs)))
    for run in runs:
        driver.submit("f", run=run)

    assert [row["run"] for row in driver.ask("tasks")] == [short(run) for run in runs]
    assert driver.ask("runs called", "[1]") == [short(runs[1])]
    assert driver.ask("runs called", "[2]") == []
    assert driver.ask("unfinished in run", runs[0]) == 1


def test_a_run_is_summed_up(two, driver):
    run = driver.new_id()
    driver.say(messages.DefineRun(run, "[1]"))
    tasks = [driver.submit("f", run=run, max_retries=0) for _ in range(5)]
    two.now += 3
    two.end(tasks[0])
    two.end(tasks[1], failure=raised())
    driver.cancel(tasks[4])

    row = driver.ask("describe runs", [run, driver.new_id()])[0]

    assert row["label"] == "[1]"
    assert row["elapsed_s"] == 3
    counted = [row[word] for word in ("finished", "failed", "cancelled", "running", "ready")]
    assert counted == [1, 1, 1, 2, 0]


def test_functions_are_counted_by_state(one):
    driver = one.driver()
    one.end(driver.submit("f"), micros=50)
    tasks = [driver.submit("f") for _ in range(3)]  # two of them held ahead
    driver.submit("g", tasks[0])

    rows = {row["id"]: row for row in driver.ask("functions")}

    assert (rows["f"]["running"], rows["f"]["ready"], rows["f"]["finished"]) == (1, 2, 1)
    assert rows["g"]["waiting"] == 1


def test_so_many_functions_are_counted_by_name_and_the_rest_together(monkeypatch, one):
    monkeypatch.setattr(limits, "FUNCTIONS_MAX", 2)
    driver = one.driver()
    for name in "abcd":
        driver.submit(name)

    rows = {row["id"]: row["running"] + row["ready"] for row in driver.ask("functions")}

    assert rows == {"a": 1, "b": 1, "(others)": 2}


def test_objects_say_where_they_lie_and_who_made_them(two, driver):
    run = driver.new_id()
    driver.say(messages.DefineRun(run, "[7]"))
    task = driver.submit("f", run=run)
    thing = driver.put(b"12345", segment="s1")

    rows = {row["id"]: row for row in driver.ask("objects")}

    assert rows[short(thing)]["where"] == "shared memory"
    assert rows[short(thing)]["size_bytes"] == 1_000_005
    assert (rows[short(task)]["task"], rows[short(task)]["run"]) == ("f", "[7]")
    assert rows[short(task)]["state"] == "pending"


def test_many_tasks_are_counted_and_named(one):
    driver = one.driver()
    tasks = [driver.submit("f"), driver.submit("f"), driver.submit("g")]

    told = driver.ask("count tasks", [*tasks, driver.new_id()])

    assert told["counts"] == {"running": 1, "ready": 2, "unknown": 1}
    assert told["names"] == {"f": 2, "g": 1}


def test_names_are_told_by_namespace(driver):
    driver.create("Pan", called="pan", namespace="here")
    driver.create("Pot", called="pot", namespace="there")

    assert driver.ask("named actors", False, "here") == [{"name": "pan", "namespace": "here"}]
    assert len(driver.ask("named actors", True, "")) == 2


@pytest.mark.parametrize(
    ("what", "args"),
    [("why", []), ("describe tasks", []), ("describe tasks", [3]), ("tasks", [1, 2])],
)
def test_a_question_with_other_words_than_ours_is_refused_and_ends_nothing(driver, what, args):
    assert f"no question {what!r} with" in driver.refused(what, *args)
    assert driver.ask("available")


def test_an_unknown_question_is_refused(driver):
    assert "no question 'weather'" in driver.refused("weather")


# ---- why -------------------------------------------------------------------------------


def why(driver, object_id):
    return driver.ask("why", object_id)


def test_why_follows_a_chain_of_waiting_to_what_runs(one):
    driver = one.driver()
    first = driver.submit("first")
    last = driver.submit("last", driver.submit("middle", first))

    text = why(driver, last)

    assert text.startswith("last waits for its argument made by middle, which")
    assert "made by first, which runs in process" in text


def test_why_says_who_has_what_is_asked_for(one):
    driver = one.driver()
    driver.submit("long")

    assert "all are taken by long" in why(driver, driver.submit("f"))


def test_why_says_of_each_call_that_runs_beside_others_how_long_it_has(two, driver):
    actor = driver.create("Pan", max_concurrency=2, out_of_order=True)
    two.worker_for(actor).ready()
    calls = [driver.call(actor, "cook") for _ in range(3)]
    two.now += 3

    assert ["for 3.0 s" in why(driver, call) for call in calls[:2]] == [True, True]
    assert "Pan, busy with cook" in why(driver, calls[2])
    two.end(calls[1])
    assert why(driver, calls[2]).startswith("cook runs in process")


def test_why_looks_at_each_gpu_for_a_share_of_one():
    burrow = Burrow(cpus=4, gpus=2)
    driver = burrow.driver()
    for _ in range(2):
        driver.submit("long", need=shape(0, 0.6))

    text = why(driver, driver.submit("f", need=shape(0, 0.7)))

    assert "waits for 0.7 GPU, of which 0.4 is free on one device" in text
    assert "taken by 2 x long" in text


def test_why_says_that_a_demand_can_never_be_met(one):
    driver = one.driver()

    assert "asks for 4 CPU, and this burrow has 1" in why(driver, driver.submit("f", need=shape(4)))


def test_why_says_what_a_method_waits_for(two, driver):
    actor = driver.create("Pan")
    call = driver.call(actor, "cook")
    assert "its actor Pan, which is starting" in why(driver, call)
    two.worker_for(actor).ready()

    assert "Pan, busy with cook" in why(driver, driver.call(actor, "wash"))


def test_why_sees_a_circle(two, driver):
    actor = driver.create("Pan")
    worker = two.worker_for(actor)
    worker.ready()
    call = driver.call(actor, "cook")
    worker.get(worker.call(actor, "wash", parent=call), task=call)

    assert "a circle" in why(driver, call)


def test_why_says_of_what_is_over_how_it_ended(two, driver):
    thing = driver.put()
    assert why(driver, thing) == "It is there."
    task = driver.submit("f", max_retries=0)
    two.end(task, failure=raised("broken"))
    assert "ValueError: broken" in why(driver, task)
    driver.drop(thing)

    assert "Nobody holds it" in why(driver, thing)


def test_why_quotes_where_the_call_is(one):
    driver = one.driver()
    task = driver.submit("f")

    assert why(driver, task).endswith(".\n  here")


def test_why_does_without_a_worker_that_says_nothing(one):
    driver = one.driver()
    task = driver.submit("f")
    next(iter(one.workers.values())).tells_where = False
    request = driver.new_id()

    driver.say(messages.Query(request, "why", [task]))
    assert not driver.heard(messages.Answer)
    one.after(limits.WHERE_WITHIN_S)

    (answer,) = driver.heard(messages.Answer)
    assert answer.payload.startswith("f runs in process")
    assert "\n" not in answer.payload
