"""What counts as an answer, hours by kind of message, and what messages left out say of predictions."""
