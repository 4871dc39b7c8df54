"""Exports of messaging and experience platforms, and of one public log of messages."""
