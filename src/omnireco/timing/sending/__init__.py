"""When a message is answered: the estimator, the model it fits, and what is asked of it."""
