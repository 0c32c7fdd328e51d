"""The IPython side: magics, cells, output, displays. Never opens a socket."""
