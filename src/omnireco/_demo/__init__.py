"""The demo: inputs, steps, plots and the report. Started by ``omnireco demo``."""
