"""Lists re-ordered, limited and explained."""
