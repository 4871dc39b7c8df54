"""What every room may use: checks, seeds, units, frozen values, threads."""
