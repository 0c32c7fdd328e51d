"""Binder: from the checkout to JupyterLab on the tutorial, in a fresh environment without node."""

import json
import os
import subprocess
import sys

import pytest

from helpers.checkout import ROOT

BINDER = ROOT / "binder"


@pytest.mark.parametrize("name", ["postBuild", "start", "replay"])
def test_binder_can_execute_its_files(name):
    assert os.access(BINDER / name, os.X_OK)


def test_start_hands_over_to_the_servers_command():
    assert (BINDER / "start").read_text().rstrip().endswith('exec "$@"')


def test_the_landing_page_is_a_notebook_of_the_checkout():
    settings = json.loads((BINDER / "config" / "jupyter_server_config.json").read_text())

    pages = {app["default_url"] for app in settings.values()}

    assert len(pages) == 1
    assert (ROOT / pages.pop().removeprefix("/lab/tree/")).is_file()


@pytest.mark.slow
@pytest.mark.timeout(1200)  # two installations and a build of the front end
def test_a_visitor_gets_the_tutorial_with_burrow_enabled():
    replayed = subprocess.run(
        [sys.executable, BINDER / "replay"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )

    assert replayed.returncode == 0, replayed.stdout[-8000:]
