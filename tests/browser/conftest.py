"""One JupyterLab server and one Playwright for all browser tests, a fresh page for each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from helpers.browser import LabServer, NotebookPage, find_browser, open_browser, serve_lab

if TYPE_CHECKING:
    from playwright.sync_api import BrowserType, Page


@pytest.fixture(scope="module")
def chromium() -> Iterator[BrowserType]:
    """Playwright's handle on Chromium. Skips without one, except in CI, where it must be there.

    Ends with the module, because its event loop runs in this thread, where other tests have theirs.
    """
    if find_browser() is None and not os.environ.get("CI"):
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright.chromium


@pytest.fixture(scope="session")
def lab(private_corner: Path) -> Iterator[LabServer]:
    """A JupyterLab server that lives as long as the browser tests."""
    with serve_lab(private_corner / "lab") as server:
        yield server


@pytest.fixture
def page(chromium: BrowserType, tmp_path: Path) -> Iterator[Page]:
    """A page in a browser that has seen nothing yet."""
    with open_browser(chromium, tmp_path / "profile") as opened:
        yield opened


@pytest.fixture
def artifacts(root: Path) -> Path:
    """Where pictures are kept for people to look at; git ignores it."""
    return root / "test-artifacts"


@pytest.fixture
def notebook(
    page: Page, lab: LabServer, artifacts: Path, request: pytest.FixtureRequest
) -> Iterator[NotebookPage]:
    """A notebook page, still empty: begin with `notebook.open([...cells])`.

    Its kernel ends with the test. A picture of its last state is kept in any case.
    """
    opened = NotebookPage(page, lab, artifacts)
    yield opened
    opened.screenshot(request.node.name)
    page.goto("about:blank")
    lab.end_kernels()
