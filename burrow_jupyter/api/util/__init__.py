"""Tools built on the public API alone: pools, queues, executors."""
