"""The Jupyter server extension: authenticated REST and a read-only WebSocket."""
