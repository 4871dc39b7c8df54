"""The main job, told as a demo: inputs, steps, pictures and the report. Started by ``omnireco demo``."""
