"""Experiments with people and with time: who is held out, how many it takes, and what came of it."""
