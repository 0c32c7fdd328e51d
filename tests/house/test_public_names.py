"""What people type is `burrow`; where it lives is nobody's business but ours."""

import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import burrow
import burrow_jupyter.api

SLOW_IMPORTS = ("IPython", "ipywidgets", "jupyter_server", "numpy", "ray")
"""Together about a second; a worker that needs them imports them when it needs them."""

NOT_OF_THE_API = {"__version__", "load_ipython_extension", "unload_ipython_extension"}

PUBLIC = sorted(set(getattr(burrow, "__all__", ())) - NOT_OF_THE_API)

NAMED = [name for name in PUBLIC if hasattr(getattr(burrow, name), "__qualname__")]
"""Classes and functions; modules and instances have no name of their own to show."""


def api_modules():
    yield burrow_jupyter.api
    for module in pkgutil.walk_packages(burrow_jupyter.api.__path__, "burrow_jupyter.api."):
        try:
            yield importlib.import_module(module.name)
        except ImportError as missing:
            # Some tools wrap a library that is optional; nothing else may be missing.
            if (missing.name or "").startswith("burrow"):
                raise


def test_every_public_name_exists_once():
    assert PUBLIC
    assert len(burrow.__all__) == len(set(burrow.__all__))
    assert [name for name in burrow.__all__ if not hasattr(burrow, name)] == []


def test_nothing_public_is_left_out_of_the_list():
    submodules = {module.name for module in pkgutil.iter_modules(burrow.__path__)}

    found = {name for name in vars(burrow) if not name.startswith("_")} - {"annotations"}

    assert found - set(burrow.__all__) - submodules == set()


@pytest.mark.parametrize("name", NAMED)
def test_a_public_name_is_the_one_of_the_api(name):
    wanted = getattr(burrow, name)

    owners = [module for module in api_modules() if getattr(module, name, None) is wanted]

    assert owners, f"burrow.{name} is no object of burrow_jupyter.api"


@pytest.mark.parametrize("name", [n for n in NAMED if inspect.isclass(getattr(burrow, n))])
def test_a_public_class_says_the_short_name_and_is_found_under_it(name):
    cls = getattr(burrow, name)

    assert cls.__module__.split(".")[0] == "burrow"
    assert getattr(importlib.import_module(cls.__module__), cls.__qualname__) is cls


@pytest.mark.parametrize("name", NAMED)
def test_a_public_name_is_documented(name):
    assert inspect.getdoc(getattr(burrow, name))


def test_importing_burrow_stays_cheap(tmp_path):
    code = f"import burrow, sys; print(*[m for m in {SLOW_IMPORTS} if m in sys.modules])"

    imported = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert imported.stdout.split() == []
