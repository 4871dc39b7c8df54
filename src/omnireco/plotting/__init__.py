"""Plots of results: functions that take a result and return matplotlib Axes."""

from omnireco.plotting.gains import budget_gains, gain_curve
from omnireco.plotting.results import (
    channel_combinations,
    channel_journeys,
    channel_shares,
    channel_times,
    channels_over_time,
    comparison,
    events_per_channel,
    people_hours,
    plan_per_day,
    plan_per_hour,
    prices,
    send_curve,
    shrinkage,
    week,
)

__all__ = [
    "budget_gains",
    "channel_combinations",
    "channel_journeys",
    "channel_shares",
    "channel_times",
    "channels_over_time",
    "comparison",
    "events_per_channel",
    "gain_curve",
    "people_hours",
    "plan_per_day",
    "plan_per_hour",
    "prices",
    "send_curve",
    "shrinkage",
    "week",
]
