"""A JupyterLab server of the tests' own, and a Chromium page on it.

The browser is the machine's: Playwright downloads none. Selectors and commands of JupyterLab
that tests need stand here, so that a change in JupyterLab is answered in one place.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat

from helpers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from playwright.sync_api import BrowserType, Locator, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SERVER_START_S = 60.0
SERVER_STOP_S = 10.0
PAGE_START_S = 60.0
"""JupyterLab shows a notebook after about 3 s; a loaded machine with two cores takes longer."""

CELL_S = 60.0

BROWSER_OPTIONS = (
    "--no-sandbox",  # tests may run as root, where Chromium has no sandbox; it visits ourselves only
    "--disable-gpu",
    "--disable-dev-shm-usage",  # leaves shared memory to what is tested
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

SETTINGS = {
    # No pop-up that asks about news, nor one that asks before a kernel is ended.
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
    "@jupyterlab/apputils-extension/sessionDialogs.jupyterlab-settings": {
        "skipKernelRestartDialog": True
    },
}


def find_browser() -> str | None:
    """The path of the machine's Chromium or Chrome."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@dataclass(frozen=True)
class LabServer:
    """A running JupyterLab or Notebook 7, serving `folder`."""

    url: str
    token: str
    app: str
    folder: Path
    process: subprocess.Popen[bytes]
    log: Path

    def address(self, path: str) -> str:
        """The full address of `path` on this server, with the token."""
        separator = "&" if "?" in path else "?"
        return f"{self.url}{path}{separator}token={self.token}"

    def get(self, path: str) -> Any:
        """The JSON that the server answers to a GET of `path`."""
        with urllib.request.urlopen(self.address(path), timeout=10) as reply:
            return json.load(reply)

    def kernel_ids(self) -> list[str]:
        """The kernels that the server runs."""
        return [kernel["id"] for kernel in self.get("api/kernels")]

    def end_kernels(self) -> None:
        """Ends every kernel, so that the next test begins without any."""
        for kernel in self.kernel_ids():
            address = self.address(f"api/kernels/{kernel}")
            request = urllib.request.Request(address, method="DELETE")
            with suppress(urllib.error.HTTPError):  # already gone
                urllib.request.urlopen(request, timeout=30).close()


@contextmanager
def serve_lab(corner: Path, base_url: str = "/", app: str = "lab") -> Iterator[LabServer]:
    """Runs `jupyter lab` (or `notebook`) with files and settings of its own under `corner`."""
    folder = corner / "notebooks"
    settings = corner / "settings"
    folder.mkdir(parents=True)
    for name, values in SETTINGS.items():
        file = settings / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = "token-of-the-tests"
    log = corner / "server.log"
    command = [sys.executable, "-m", "jupyterlab" if app == "lab" else app]
    command += [
        "--no-browser",
        "--allow-root",
        "--expose-app-in-browser",
        f"--ServerApp.root_dir={folder}",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.base_url={base_url}",
        f"--IdentityProvider.token={token}",
    ]
    environment = {
        **os.environ,
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(corner / "workspaces"),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = LabServer(f"http://127.0.0.1:{port}{base_url}", token, app, folder, process, log)
    try:
        wait_until(lambda: _answers(server), SERVER_START_S, f"JupyterLab, see its log:\n{log}")
        yield server
    finally:
        _stop(server)


def _answers(server: LabServer) -> bool:
    if server.process.poll() is not None:
        raise AssertionError(f"JupyterLab ended at its start:\n{server.log.read_text()}")
    try:
        server.get("api/status")
    except (OSError, ValueError):
        return False
    return True


def _stop(server: LabServer) -> None:
    with suppress(OSError):
        server.end_kernels()
    server.process.send_signal(signal.SIGTERM)
    try:
        server.process.wait(SERVER_STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()


@contextmanager
def open_browser(chromium: BrowserType, profile: Path) -> Iterator[Page]:
    """A fresh Chromium with one page, 1400 by 900."""
    path = find_browser()
    assert path is not None, "no Chromium on this machine"
    context = chromium.launch_persistent_context(
        profile,
        executable_path=path,
        headless=True,
        args=list(BROWSER_OPTIONS),
        viewport={"width": 1400, "height": 900},
    )
    try:
        yield context.pages[0] if context.pages else context.new_page()
    finally:
        context.close()


class NotebookPage:
    """One notebook in JupyterLab, as a person sees and uses it."""

    def __init__(self, page: Page, server: LabServer, artifacts: Path) -> None:
        self.page = page
        self.server = server
        self.artifacts = artifacts
        self.name = ""

    def open(self, cells: Sequence[str], name: str = "test.ipynb") -> None:
        """Writes a notebook with these code cells, opens it and waits for its kernel.

        The cells have the ids `cell-0`, `cell-1` and so on.
        """
        notebook = nbformat.v4.new_notebook(
            cells=[
                nbformat.v4.new_code_cell(source, id=f"cell-{number}")
                for number, source in enumerate(cells)
            ],
            metadata={
                "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
            },
        )
        nbformat.write(notebook, self.server.folder / name)
        self.open_file(name)

    def open_file(self, name: str) -> None:
        """Opens a notebook that lies in the server's folder, in a workspace without history."""
        self.name = name
        path = "lab/tree/{}?reset" if self.server.app == "lab" else "notebooks/{}"
        self.page.goto(self.server.address(path.format(urllib.parse.quote(name))))
        self.wait_ready()

    def reload(self, *, busy: bool = False) -> None:
        """F5: saves nothing, keeps the kernel; say so if it is busy."""
        self.page.reload()
        self.wait_ready(busy=busy)

    def wait_ready(self, *, busy: bool = False) -> None:
        """Waits until the notebook is shown and its kernel is idle.

        A page knows nothing of a kernel that is busy with what another page has asked for: then
        it is enough that it is connected.
        """
        timeout_ms = PAGE_START_S * 1000
        self.page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=timeout_ms)
        self.page.wait_for_function("document.body.dataset.jpThemeName", timeout=timeout_ms)
        self.page.wait_for_function(
            "([name, value]) => window.jupyterapp.shell.currentWidget?.context?.sessionContext"
            "?.session?.kernel?.[name] === value",
            arg=["connectionStatus", "connected"] if busy else ["status", "idle"],
            timeout=timeout_ms,
        )

    def wait_busy(self) -> None:
        """Waits until the kernel says that it executes something."""
        self.page.wait_for_function(
            "window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel.status"
            " === 'busy'",
            timeout=CELL_S * 1000,
        )

    def command(self, name: str, arguments: dict[str, Any] | None = None) -> Any:
        """Executes one of JupyterLab's commands and waits for its end."""
        return self.page.evaluate(
            "([name, args]) => window.jupyterapp.commands.execute(name, args).then(() => null)",
            [name, arguments or {}],
        )

    def start_cell(self, index: int) -> None:
        """Selects a cell and runs it, without waiting for its end."""
        self.select(index)
        self.page.evaluate(
            "() => { void window.jupyterapp.commands.execute('notebook:run-cell'); }"
        )

    def run_cell(self, index: int, within_s: float = CELL_S) -> None:
        """Runs a cell and waits until it has its number."""
        self.start_cell(index)
        self.wait_cell(index, within_s)

    def wait_cell(self, index: int, within_s: float = CELL_S) -> None:
        """Waits until a cell that was started has ended."""
        self.page.wait_for_function(
            """([index]) => {
                const cell = window.jupyterapp.shell.currentWidget.content.widgets[index];
                return cell.model.executionCount !== null && cell.model.executionState === 'idle';
            }""",
            arg=[index],
            timeout=within_s * 1000,
        )

    def select(self, index: int) -> None:
        """Makes a cell the active one and brings it into view."""
        self.page.evaluate(
            """async ([index]) => {
                const notebook = window.jupyterapp.shell.currentWidget.content;
                notebook.activeCellIndex = index;
                await notebook.scrollToItem(index);
            }""",
            [index],
        )

    def cell(self, index: int) -> Locator:
        """A cell with its input and output."""
        return self.page.locator(f".jp-Notebook .jp-Cell[data-windowed-list-index='{index}']")

    def output(self, index: int) -> Locator:
        """The output area of a cell."""
        return self.cell(index).locator(".jp-Cell-outputArea")

    def wait_text(self, index: int, text: str, within_s: float = CELL_S) -> None:
        """Waits until the output of a cell contains `text`."""
        found = self.output(index).get_by_text(text).first
        found.wait_for(timeout=within_s * 1000)

    def interrupt(self) -> None:
        """The stop button."""
        self.command("notebook:interrupt-kernel")

    def save(self) -> nbformat.NotebookNode:
        """Saves the notebook and returns what the file now holds."""
        self.command("docmanager:save")
        return nbformat.read(self.server.folder / self.name, as_version=4)

    def set_theme(self, name: str) -> None:
        """Changes the theme: "JupyterLab Light" or "JupyterLab Dark"."""
        self.command("apputils:change-theme", {"theme": name})
        self.page.wait_for_function(
            "name => document.body.dataset.jpThemeName === name", arg=name, timeout=30_000
        )
        # Drawn, too: the style sheet has come by now, but the page may not have used it.
        self.page.evaluate(
            "new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))"
        )
        self.page.locator("#jupyterlab-splash").wait_for(state="detached")

    def screenshot(self, name: str) -> Path:
        """Keeps a picture of the page among the artifacts of the test run."""
        self.artifacts.mkdir(parents=True, exist_ok=True)
        path = self.artifacts / f"{name}.png"
        self.page.screenshot(path=path)
        return path
