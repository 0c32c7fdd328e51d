"""What carries the API out: one protocol, several full implementations."""
