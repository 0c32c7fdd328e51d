"""All I/O of a burrow: processes, sockets, memory, clocks. Knows no notebook."""
