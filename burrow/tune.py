"""Ray's library of this name: importing it says that it is not here."""

from burrow_jupyter.api.elsewhere import refuse

refuse(__name__)
