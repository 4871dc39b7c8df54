"""The check-list of a working omnichannel strategy, measured."""
