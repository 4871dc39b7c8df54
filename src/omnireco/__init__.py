"""omnireco."""
