"""Progress bars by the module name that code written for Ray uses; plain tqdm works as well."""

from burrow_jupyter.api.util.progress import safe_print, tqdm

__all__ = ("safe_print", "tqdm")
