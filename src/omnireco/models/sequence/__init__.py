"""Recommenders learned from the order of events."""
