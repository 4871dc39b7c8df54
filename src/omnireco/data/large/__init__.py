"""Logs larger than memory, and logs that grow."""
