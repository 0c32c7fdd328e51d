"""The object store: large values in shared memory, and their overflow on disk."""
