"""The cloudpickle that Burrow sends code with, by the module name that code written for Ray uses."""

from cloudpickle import *  # noqa: F403
