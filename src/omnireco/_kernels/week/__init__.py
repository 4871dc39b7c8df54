"""Rates and profiles over the hours of a week."""
