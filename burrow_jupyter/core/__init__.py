"""The pure core: ids, messages, the scheduler. No I/O, clock, thread or randomness."""
