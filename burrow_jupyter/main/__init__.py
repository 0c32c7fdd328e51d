"""One module for each process: parse, wire, run. Imported by nobody."""
