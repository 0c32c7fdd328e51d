"""Placement groups, and scikit-learn over joblib."""

from __future__ import annotations

import pytest

import burrow
from burrow.util import placement_group, placement_group_table, remove_placement_group
from burrow.util.scheduling_strategies import (
    DoesNotExist,
    Exists,
    In,
    NodeAffinitySchedulingStrategy,
    NodeLabelSchedulingStrategy,
    NotIn,
    PlacementGroupSchedulingStrategy,
)


@pytest.fixture(scope="module", autouse=True)
def shared():
    burrow.init(num_cpus=2)
    yield
    burrow.shutdown()


@burrow.remote
def one():
    return 1


def test_a_group_that_fits_is_placed_and_used():
    group = placement_group([{"CPU": 1}, {"CPU": 1}], strategy="SPREAD", name="both")

    assert burrow.get(group.ready()).id == group.id
    assert group.wait(1)
    assert group.bundle_count == 2
    assert placement_group_table(group)["state"] == "CREATED"
    assert burrow.util.get_placement_group("both") is group
    strategy = PlacementGroupSchedulingStrategy(placement_group=group)
    assert burrow.get(one.options(scheduling_strategy=strategy).remote()) == 1
    remove_placement_group(group)
    assert placement_group_table(group)["state"] == "REMOVED"


@pytest.mark.parametrize(
    ("bundles", "strategy", "text"),
    [
        ([], "PACK", "bundles"),
        ([{}], "PACK", "bundles"),
        ([{"CPU": 1}], "WIDE", "strategy"),
        ([{"CPU": 3}], "PACK", "only|has 2"),
        ([{"CPU": 1}, {"CPU": 1}], "STRICT_SPREAD", "one"),
    ],
)
def test_a_group_that_cannot_be(bundles, strategy, text):
    with pytest.raises(ValueError, match=text):
        placement_group(bundles, strategy=strategy)


def test_a_group_in_a_task_is_the_same_and_a_removed_one_is_used_no_more():
    group = placement_group([{"CPU": 1}])

    assert burrow.get(burrow.remote(lambda group: (group.id, group.wait(1))).remote(group)) == (
        group.id,
        True,
    )
    with pytest.raises(ValueError, match="bundle_index"):
        PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=1)
    with pytest.raises(TypeError, match="PlacementGroup"):
        PlacementGroupSchedulingStrategy("group")
    remove_placement_group(group)
    assert not group.wait(1)
    with pytest.raises(ValueError, match="removed"):
        PlacementGroupSchedulingStrategy(group)


def test_the_one_node_by_its_id_and_labels():
    here = burrow.get_runtime_context().get_node_id()
    for strategy in (
        "SPREAD",
        "DEFAULT",
        NodeAffinitySchedulingStrategy(here),
        NodeAffinitySchedulingStrategy("elsewhere", soft=True),
        NodeLabelSchedulingStrategy(hard={}, soft={"zone": In("a")}),
        NodeLabelSchedulingStrategy(hard={"zone": NotIn("a", "b"), "tier": DoesNotExist()}),
    ):
        assert burrow.get(one.options(scheduling_strategy=strategy).remote()) == 1
    with pytest.raises(ValueError, match="no node 'elsewhere'"):
        NodeAffinitySchedulingStrategy("elsewhere")
    for wanted in (In("a"), Exists()):
        with pytest.raises(ValueError, match="zone"):
            NodeLabelSchedulingStrategy(hard={"zone": wanted})
    for none in ((), (1,)):
        with pytest.raises(ValueError, match="labels"):
            In(*none)


@pytest.mark.parametrize(("strategy", "error"), [("PACK", ValueError), (5, TypeError)])
def test_no_strategy(strategy, error):
    with pytest.raises(error, match="scheduling_strategy"):
        one.options(scheduling_strategy=strategy)


def test_grid_search_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn")
    joblib = pytest.importorskip("joblib")
    from sklearn.datasets import make_classification
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    from burrow.util.joblib import register_burrow

    assert sklearn.__version__
    register_burrow()
    x, y = make_classification(n_samples=200, random_state=0)
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0, 10.0]}, cv=3)

    with joblib.parallel_config("burrow"):
        search.fit(x, y)

    assert search.best_score_ > 0.5
    assert any(row["name"] == "joblib" for row in burrow.tasks())
