"""Plots of results: functions that take a result and return matplotlib Axes."""

from omnireco.plotting.cards import backtest, scorecard
from omnireco.plotting.channels import (
    channel_combinations,
    channel_journeys,
    channel_shares,
    channel_times,
    channels_over_time,
)
from omnireco.plotting.earned import credit, first_use, funnel_steps, holdout_effects, return_calibration
from omnireco.plotting.expected import calibration, fatigue, headroom_lifts, policy_lifts
from omnireco.plotting.gains import budget_gains, gain_curve
from omnireco.plotting.plans import offers_shown, person_week, plan_load, plan_reach, plan_saved, plan_why, what_if
from omnireco.plotting.results import (
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
    "backtest",
    "budget_gains",
    "calibration",
    "channel_combinations",
    "channel_journeys",
    "channel_shares",
    "channel_times",
    "channels_over_time",
    "comparison",
    "credit",
    "events_per_channel",
    "fatigue",
    "first_use",
    "funnel_steps",
    "gain_curve",
    "headroom_lifts",
    "holdout_effects",
    "offers_shown",
    "people_hours",
    "person_week",
    "plan_load",
    "plan_per_day",
    "plan_per_hour",
    "plan_reach",
    "plan_saved",
    "plan_why",
    "policy_lifts",
    "prices",
    "return_calibration",
    "scorecard",
    "send_curve",
    "shrinkage",
    "week",
    "what_if",
]
