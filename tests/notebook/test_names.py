"""Which names of a cell come from outside, and which it assigns."""

from __future__ import annotations

import ast

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from burrow_jupyter.notebook import names


@pytest.mark.parametrize(
    ("cell", "used", "assigned"),
    [
        ("x = 1\nx", "", "x"),
        ("x += 1", "x", "x"),
        ("del x", "x", "x"),
        ("def cook(pot): return pot + salt", "salt", "cook"),
        ("def cook(n): return cook(n - 1)", "", "cook"),
        ("class Pot:\n    lid = 1\n    def m(self): return Pot, lid", "lid", "Pot"),
        ("for pot in pots: weight = weight + pot", "pots weight", "pot weight"),
        ("sizes = [pot for pot in pots if pot]", "pots", "sizes"),
        ("last = [seen := pot for pot in pots]", "pots", "last seen"),
        ("if pots: pot = 1\npot", "pot pots", "pot"),
        ("if pots: pot = 1\nelse: pot = 2\npot", "pots", "pot"),
        ("try:\n    pot = f()\nfinally:\n    del pots", "f pots", "pot pots"),
        ("while True:\n    pot = 1\n    if pot: break\npot", "", "pot"),
        ("match pot:\n    case {'k': kind, **rest} as whole: pass", "pot", "kind rest whole"),
        ("import os.path, math as m", "", "m os"),
        ("def fill():\n    global pot\n    pot = 1", "", "fill pot"),
        ("pot: kind = 1", "kind", "pot"),
        ("async with stove as pot: await pot.boil()", "stove", "pot"),
        ("dict(pot=1).pots", "", ""),
        ("%time pot = boil(water)", "boil water", "pot"),
        ("%timeit pot = boil(water)\nwater = 1", "boil water", "water"),
        ("!echo $pot {pan + 1}", "pan pot", ""),
        ("%%capture said\npot = 1", "", "pot said"),
        ("pot?", "pot", ""),
    ],
)
def test_names_of_a_cell(cell: str, used: str, assigned: str):
    found = names.of_cell(ast.parse(TransformerManager().transform_cell(cell)))

    ours = {"get_ipython", "__name__", "__annotations__", "__conditional_annotations__", "dict"}
    assert found.used - ours == set(used.split())
    assert found.assigned.keys() == set(assigned.split())
