"""File forms: what each value is made of, declared once, for saving, loading and checking."""
