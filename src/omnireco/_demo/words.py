"""Counts with their nouns, in singular or plural."""

from __future__ import annotations

__all__ = ["counted"]


def counted(n: int, one: str, many: str = "") -> str:
    """Return ``"1 row"``, ``"2 rows"``, ``"1 person"``, ``"2,000 people"``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"
