"""The part of Ray's module of this name that notebooks use: progress bars in tasks."""
