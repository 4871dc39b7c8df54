"""Recommenders learned from a behaviour matrix."""
