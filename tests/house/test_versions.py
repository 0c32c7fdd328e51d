"""One version, said in one place; everybody else repeats it rightly."""

import importlib.metadata
import json

import pytest

import burrow
import burrow_jupyter
from helpers.checkout import ROOT


def test_the_distribution_has_the_version_of_the_code():
    assert importlib.metadata.version("burrow-jupyter") == burrow_jupyter.__version__
    assert burrow.__version__ == burrow_jupyter.__version__


def test_the_front_end_has_the_version_of_the_code():
    package = json.loads((ROOT / "labextension" / "package.json").read_text())

    assert package["version"] == burrow_jupyter.__version__


def test_the_built_front_end_has_the_version_of_the_code():
    built = ROOT / "burrow_jupyter" / "labextension" / "package.json"
    if not built.exists():
        pytest.skip("the front end is not built in this checkout")

    assert json.loads(built.read_text())["version"] == burrow_jupyter.__version__


def test_the_changelog_knows_the_version():
    changelog = (ROOT / "CHANGELOG.md").read_text()

    assert f"## [{burrow_jupyter.__version__}]" in changelog or "## [Unreleased]" in changelog
