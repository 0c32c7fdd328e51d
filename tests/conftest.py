"""Every test runs in a private corner of the machine and must leave it as it was."""

from __future__ import annotations

import shutil
import signal
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from helpers import leaks
from helpers.kernels import Kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent

# The cores are shared with the processes under test, so how long an example takes says nothing.
# The same examples each time: a test that fails for one person fails for everybody.
hypothesis.settings.register_profile("burrow", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("burrow")


def pytest_report_header() -> str:
    """Says which Burrow is tested: the installed one, or the checkout of a developer."""
    import burrow_jupyter

    return f"burrow: {burrow_jupyter.__version__} from {Path(burrow_jupyter.__file__).parent}"


@pytest.fixture(autouse=True, scope="session")
def private_corner() -> Iterator[Path]:
    """A short directory of this run's own for sockets, kernels and Jupyter's files.

    Short, because the name of a socket may have 107 characters. Processes of fixtures that live
    longer than one test are looked for here, at the very end.
    """
    corner = Path(tempfile.mkdtemp(prefix=leaks.CORNER_PREFIX))
    session = uuid.uuid4().hex
    variables = {
        leaks.SESSION_MARK: session,
        "XDG_RUNTIME_DIR": str(corner / "run"),
        "JUPYTER_CONFIG_DIR": str(corner / "config"),
        "JUPYTER_DATA_DIR": str(corner / "data"),
        "JUPYTER_RUNTIME_DIR": str(corner / "jupyter"),
        "IPYTHONDIR": str(corner / "ipython"),
        # A user's own start-up files and settings must not decide about a test.
        "PYTHONSTARTUP": "",
        "PYTHONWARNINGS": "default",
        # debugpy says several lines about frozen modules on the stderr of every kernel.
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    (corner / "run").mkdir(mode=0o700)
    # A run in the background inherits that it is ignored, and so would all that it starts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        baseline = leaks.take_baseline()
        yield corner
        leaks.check_nothing_left(leaks.SESSION_MARK, session, baseline)
    shutil.rmtree(corner, ignore_errors=True)


@pytest.fixture(autouse=True)
def leaves_nothing(
    request: pytest.FixtureRequest, private_corner: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """After each test: no process, socket, segment or thread of it is left."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv(leaks.MARK, mark)
    baseline = leaks.take_baseline()
    yield
    if request.node.get_closest_marker("leaks_allowed") is None:
        leaks.check_nothing_left(leaks.MARK, mark, baseline)


@pytest.fixture
def kernel(private_corner: Path, tmp_path: Path) -> Iterator[Kernel]:
    """A real IPython kernel in a process of its own, working in `tmp_path`."""
    started = Kernel.start(cwd=tmp_path, connections=private_corner)
    try:
        yield started
    finally:
        started.shutdown()


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout that the tests lie in."""
    return ROOT
