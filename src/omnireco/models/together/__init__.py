"""Several models as one, and models in context."""
