"""What users call: tasks, actors, refs, get, put, wait. Knows a backend, not which."""
