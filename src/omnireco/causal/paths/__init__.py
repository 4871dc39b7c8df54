"""Journeys across channels: their paths, and the credit that models give to channels."""
