"""New items and new people."""
