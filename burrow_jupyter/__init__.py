"""Burrow: tasks and actors on your own cores, native to the notebook.

This package holds the code, in layers; what users type is the package `burrow`.
Python runs this file before every submodule, so it stays empty of API: the head
process and the Jupyter server import from here and must stay small.
"""

__version__ = "0.1.0"


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """Tell JupyterLab where the built front end lies; used by installs for development."""
    return [{"src": "labextension", "dest": "burrow-jupyter"}]


def _jupyter_server_extension_points() -> list[dict[str, object]]:
    """Tell the Jupyter server which application to load.

    By name: an import statement here would tie every layer that asks for `__version__`
    to the top one.
    """
    import importlib  # noqa: PLC0415  # only Jupyter's server asks, everybody runs this file

    module = "burrow_jupyter.server.extension"
    return [{"module": module, "app": importlib.import_module(module).BurrowExtension}]
