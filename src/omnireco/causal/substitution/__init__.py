"""Whether one channel takes from another, by first use and by contacts that were drawn by lot."""
