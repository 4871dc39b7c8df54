"""Decisions between a few arms."""
