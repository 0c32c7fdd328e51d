"""What is published holds everything that users need, and nothing else."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import burrow_jupyter
from helpers.checkout import ROOT, tracked_files

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # a build may download its own node

WHEEL_MAX_BYTES = 1_500_000
SDIST_MAX_BYTES = 5_000_000
"""Sources and one built front end; node_modules alone would be a hundred times as much."""

VERSION = burrow_jupyter.__version__
DATA = f"burrow_jupyter-{VERSION}.data/data"
PANEL = f"{DATA}/share/jupyter/labextensions/burrow-jupyter"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that `./run tests` installed, else one built here."""
    if built := os.environ.get("BURROW_WHEEL"):
        return Path(built)
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder]
    subprocess.run([*command, ROOT], check=True)
    return next(folder.glob("burrow_jupyter-*.whl"))


@pytest.fixture(scope="module")
def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_every_module(names):
    wanted = {
        str(path.relative_to(ROOT))
        for path in tracked_files()
        if path.relative_to(ROOT).parts[0] in {"burrow", "burrow_jupyter"}
    }

    assert wanted - names == set()


def test_the_wheel_enables_the_panel_and_the_server_extension(names):
    assert f"{PANEL}/package.json" in names
    assert f"{PANEL}/install.json" in names
    assert f"{PANEL}/static/style.js" in names
    assert any(name.startswith(f"{PANEL}/static/remoteEntry.") for name in names)
    assert f"{DATA}/etc/jupyter/jupyter_server_config.d/burrow_jupyter.json" in names


def test_the_wheel_is_typed(names):
    assert {"burrow/py.typed", "burrow_jupyter/py.typed"} <= names


def test_the_wheel_holds_nothing_else(wheel, names):
    meta = {f"burrow_jupyter-{VERSION}.{kind}" for kind in ("data", "dist-info")}

    assert {Path(name).parts[0] for name in names} <= {"burrow", "burrow_jupyter"} | meta
    assert [name for name in names if "node_modules" in name or name.endswith(".pyc")] == []
    assert [name for name in names if name.startswith("burrow_jupyter/labextension/")] == []
    assert wheel.stat().st_size < WHEEL_MAX_BYTES


def test_the_sdist_carries_the_built_front_end_and_no_node_modules(wheel, tmp_path):
    command = [sys.executable, "-m", "build", "--sdist", "--outdir", tmp_path, ROOT]
    subprocess.run(command, check=True, capture_output=True)
    sdist = next(tmp_path.glob("*.tar.gz"))

    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]

    assert "burrow_jupyter/labextension/static/style.js" in names
    assert "labextension/src/index.ts" in names
    assert [name for name in names if "node_modules" in name or "/.yarn/" in name] == []
    assert sdist.stat().st_size < SDIST_MAX_BYTES
