"""How a user's frame is opened, column by column."""
