"""A worker's life: take a call, run it, report."""
