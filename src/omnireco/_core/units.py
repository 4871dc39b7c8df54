"""Units of time: instants and durations are whole microseconds; a local week is 168 hours, from Monday 00:00 on."""

__all__ = ["DAY_US", "EPOCH_DAY", "EPOCH_HOUR", "HOUR_US", "MINUTE_US", "QUARTER_US", "SECOND_US", "WEEK", "WEEK_US"]

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
QUARTER_US = 15 * MINUTE_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
WEEK_US = 7 * DAY_US
WEEK = 168  # hours: what has one number per hour of the week has this length
EPOCH_DAY = 3  # of the week: 1970-01-01 was a Thursday
EPOCH_HOUR = 24 * EPOCH_DAY
