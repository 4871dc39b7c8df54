"""Alternating least squares, the loss it minimises, and vectors for new histories."""
