"""The exceptions of Burrow, under the names that users of Ray know."""

from burrow_jupyter.api.exceptions import *  # noqa: F403
