"""One and the same offer on every channel: what can be offered, and what was promised to whom."""
