"""Shops: where they are, when they are open, and what lies in them."""
