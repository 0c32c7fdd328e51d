"""The Jupyter server extension: authenticated REST and a read-only WebSocket.

`extension` mounts the routes, `rest` and `socket` translate HTTP to `burrows`, which
finds burrows and shares one observer of each; `shapes` and `openapi.yaml` say what
travels. Nothing here can unpickle, and nothing here runs code of a notebook's.
"""
