"""The exact top-K and its tiers."""
