"""Who asks, and what was known of them: requests, baskets, histories as of an instant, messages that could be sent."""
