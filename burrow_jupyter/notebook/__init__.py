"""The IPython side: magics, cells, output, widgets. Never opens a socket."""
