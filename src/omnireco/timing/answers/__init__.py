"""What counts as an answer to a message, how kinds of messages differ, and what messages left out say of predictions."""
