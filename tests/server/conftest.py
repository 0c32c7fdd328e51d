"""A real Jupyter server inside the test, by pytest-jupyter.

Its fixtures are imported here and not loaded as a plugin for all tests: some of them act on every
test that sees them, by making a server application and an event loop of their own.
"""

from pytest_jupyter.jupyter_server import *  # noqa: F403 fixtures and hooks, found by their names
