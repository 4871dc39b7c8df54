"""The response room."""
