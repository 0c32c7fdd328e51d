"""Metrics are checked and go nowhere; progress bars by Ray's name are tqdm's."""

from __future__ import annotations

import pytest

import burrow
from burrow.util.metrics import Counter, Gauge, Histogram


@pytest.fixture(scope="module", autouse=True)
def shared():
    burrow.init(num_cpus=2)
    yield
    burrow.shutdown()


def test_metrics_are_used_in_actors():
    @burrow.remote
    class Kitchen:
        def __init__(self, name):
            self.orders = Counter("orders", description="taken", tag_keys=("kitchen",))
            self.orders.set_default_tags({"kitchen": name})
            self.heat = Gauge("heat", tag_keys=("kitchen",)).set_default_tags({"kitchen": name})
            self.waits = Histogram("waits", boundaries=[0.1, 1])

        def order(self):
            self.orders.inc()
            self.heat.set(180.5)
            self.waits.observe(0.3)
            return self.waits.info["boundaries"], self.orders.info["default_tags"]

    kitchen = Kitchen.remote("north")

    assert burrow.get(kitchen.order.remote()) == ([0.1, 1], {"kitchen": "north"})


@pytest.mark.parametrize(
    ("use", "error"),
    [
        (lambda: Counter("c").inc(0), ValueError),
        (lambda: Counter("c").inc("1"), TypeError),
        (lambda: Counter("c", tag_keys=["a"]), TypeError),
        (lambda: Counter("c", tag_keys=("a",)).inc(), ValueError),
        (lambda: Counter("c", tag_keys=("a",)).inc(tags={"a": 1}), TypeError),
        (lambda: Gauge("g").set_default_tags({"a": "b"}), ValueError),
        (lambda: Histogram("h"), ValueError),
        (lambda: Histogram("h", boundaries=[0]), ValueError),
    ],
)
def test_wrong_use_of_a_metric(use, error):
    with pytest.raises(error):
        use()


def test_a_bar_by_rays_name_is_shown():
    pytest.importorskip("tqdm")

    def bake():
        import contextlib
        import io

        from burrow.experimental.tqdm_ray import tqdm

        shown = io.StringIO()
        with contextlib.redirect_stderr(shown):
            total = sum(tqdm(range(5), desc="loaves", flush_interval_s=0))
            bar = tqdm(desc="rolls", total=3, position=1)
            bar.update(2)
            bar.set_description("rolls, too")
            assert (bar.n, bar.total) == (2, 3)
            bar.close()
        return total, shown.getvalue()

    total, shown = burrow.get(burrow.remote(bake).remote())
    assert total == 10
    assert "loaves: 100%" in shown
    assert "rolls, too" in shown
