"""What a message adds: experiments, effects per person and group, their curves, and what a budget earns."""
