"""The documents that are made from the code are as the code is now."""

import importlib.util

import pytest

import burrow
from helpers.checkout import ROOT

NOT_DOCUMENTED = {
    "__version__",
    "load_ipython_extension",
    "unload_ipython_extension",
    "ObjectID",
    "actor",
    "exceptions",
    "runtime_context",
    "util",
}
"""Other names of things that are, and modules."""


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["reference.md", "states.md"])
def test_a_made_document_is_up_to_date(generate, name):
    made = generate.DOCUMENTS[name]()

    assert (ROOT / "docs" / name).read_text() == made, "run: python docs/generate.py"


def test_every_public_name_is_in_the_reference():
    text = (ROOT / "docs" / "reference.md").read_text()

    names = set(burrow.__all__) - NOT_DOCUMENTED
    assert [name for name in sorted(names) if f"burrow.{name}\n" not in text] == []
