"""Arithmetic on arrays: arrays in, arrays out; all that is compiled lives here."""
