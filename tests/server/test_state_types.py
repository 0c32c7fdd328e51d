"""The front end's types are those of the Python structs."""

import importlib.util

import pytest

from helpers.checkout import ROOT


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location(
        "generate_state", ROOT / "labextension" / "generate_state.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_types_are_fresh(generator):
    committed = (ROOT / "labextension" / "src" / "state.ts").read_text()

    assert committed == generator.render(ROOT), "run: python labextension/generate_state.py"


def test_an_annotation_that_is_not_understood_is_no_silent_any(generator):
    import ast

    with pytest.raises(TypeError, match="teach generate_state"):
        generator.ts_type(ast.parse("dict[str, int]", mode="eval").body)
