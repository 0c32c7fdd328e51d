"""Options: one table, and an error that names the option and the fix."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burrow_jupyter.core import options, resources

PLACES = ["task", "task options", "actor", "actor options", "method", "call"]


@pytest.mark.parametrize(
    ("place", "given", "word"),
    [
        ("task", {"num_cpu": 1}, "num_cpus"),
        ("task", {"nonsense": 1}, "Options: "),
        ("task", {"max_restarts": 1}, "an option of an actor"),
        ("actor", {"max_retries": 1}, "an option of a task"),
        ("method", {"num_cpus": 1}, "not of a method"),
        ("task options", {"max_calls": 1}, r"@remote\(max_calls"),
        ("actor options", {"concurrency_groups": {}}, r"@remote\(concurrency_groups"),
        ("task", {"num_cpus": -1}, "num_cpus"),
        ("task", {"num_cpus": 0.00001}, "0.0001"),
        ("task", {"num_gpus": 1.5}, "whole number"),
        ("task", {"resources": {"CPU": 1}}, "num_cpus=1"),
        ("task", {"resources": {"GPU": 1}}, "num_gpus=1"),
        ("task", {"resources": {"gold": -1}}, "gold"),
        ("task", {"max_retries": -2}, "for ever"),
        ("task", {"max_calls": -1}, "max_calls"),
        ("task", {"num_returns": -1}, "num_returns"),
        ("task", {"num_returns": "many"}, "streaming"),
        ("task", {"timeout": 0}, "timeout"),
        ("task", {"timeout": float("nan")}, "timeout"),
        ("task", {"runtime_env": {"pip": []}}, "pip"),
        ("task", {"_generator_backpressure_num_objects": 0}, "backpressure"),
        ("actor", {"lifetime": "long"}, "detached"),
        ("actor", {"max_concurrency": 0}, "max_concurrency"),
        ("actor", {"max_restarts": -2}, "max_restarts"),
        ("actor", {"name": ""}, "name"),
        ("actor", {"concurrency_groups": {"io": 0}}, "io"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(place, given, word):
    with pytest.raises(ValueError, match=word):
        options.check(place, given)


@pytest.mark.parametrize(
    ("place", "given"),
    [
        ("task", {"num_cpus": "2"}),
        ("task", {"num_cpus": True}),
        ("task", {"max_retries": 1.5}),
        ("task", {"max_retries": True}),
        ("task", {"num_returns": 1.5}),
        ("task", {"name": 5}),
        ("task", {"resources": [("gold", 1)]}),
        ("task", {"resources": {1: 1}}),
        ("task", {"retry_exceptions": ValueError}),
        ("task", {"retry_exceptions": [KeyboardInterrupt]}),
        ("task", {"runtime_env": "env"}),
        ("task", {"runtime_env": {"env_vars": {"A": 1}}}),
        ("task", {"runtime_env": {"working_dir": 1}}),
        ("task", {"timeout": "1"}),
        ("actor", {"get_if_exists": 1}),
        ("actor", {"concurrency_groups": ["io"]}),
        ("actor", {"namespace": 5}),
    ],
)
def test_a_value_of_the_wrong_type_is_named(place, given):
    with pytest.raises(TypeError, match=next(iter(given))):
        options.check(place, given)


@given(st.sampled_from(PLACES), st.sampled_from(sorted(options.TABLE)))
def test_none_means_the_default_wherever_the_option_may_stand(place, name):
    if place in options.TABLE[name].where:
        assert options.check(place, {name: None}) == {}
    else:
        with pytest.raises(ValueError, match=name):
            options.check(place, {name: None})


def test_what_is_right_comes_back_as_it_was_given():
    given = {"num_cpus": 0.5, "resources": {"gold": 2}, "num_returns": "streaming"}

    assert options.check("task", given) == given


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "num_cpus": st.integers(0, 4),
            "num_gpus": st.integers(0, 4),
            "memory": st.integers(0, 10**12),
            "resources": st.dictionaries(st.sampled_from("ab"), st.integers(0, 3)),
        },
    ),
    st.integers(0, 2),
)
def test_a_demand_holds_what_was_asked_for_and_no_zeros(given, cpus):
    asked = {
        "CPU": given.get("num_cpus", cpus),
        "GPU": given.get("num_gpus", 0),
        "memory": given.get("memory", 0),
        **given.get("resources", {}),
    }

    shape = options.demand_of(given, cpus)

    assert {name: resources.to_quantity(n) for name, n in shape} == {
        name: quantity for name, quantity in asked.items() if quantity
    }
