"""Patterns made of tasks and actors: pools, queues, executors, lazily fed maps."""
