"""How each kind of value is taken apart for a file and put together again. One module per room."""
