"""Long logs: strings to codes, order, sums into cells, groups."""
