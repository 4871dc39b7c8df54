"""Habits, probabilities and decisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from omnireco._core.form import Form
from omnireco._core.parts import demand
from omnireco._core.small import settings
from omnireco.choices.channel import ChannelPreference, ChannelPreferenceModel
from omnireco.choices.creatives import CreativeModel, Creatives
from omnireco.choices.decisions import CreativeChoices
from omnireco.timing.activity import ActivityModel, ActivityProfile
from omnireco.timing.explore import Exploration
from omnireco.timing.fatigue import Fatigue, FatigueModel
from omnireco.timing.reading_clock import ReadingClock, ReadingModel
from omnireco.timing.sending.response_model import SendTimeModel
from omnireco.timing.sending.send_time import SendTime

__all__ = ["FORMS"]


def _fitting_activity(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    demand(len(parts["pooling"].strengths) == 4, "pooling has not four strengths")


def _fitting_spells(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    rows = np.repeat(np.arange(sizes["users"]), np.diff(parts["indptr"]))
    demand((parts["spells"].row == rows).all(), "messages do not lie by person")
    demand(len(parts["habits"].strengths) == 3, "habits have not three strengths")


def _fitting_sizes(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    n_tags, n_interests = parts["tags"].shape[1], parts["interests"].shape[1]
    demand(parts["weights"].size == 1 + n_tags * (1 + n_interests), "weights do not fit tags and interests")


def _one_more_group(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    demand(sizes["beliefs"] == sizes["groups"] + 1, "beliefs do not fit the groups")


FORMS = (
    Form(
        ActivityModel,
        "activity model",
        check=_fitting_activity,
    ),
    Form(SendTimeModel, "send time model"),
    Form(
        ReadingModel,
        "reading model",
        check=_fitting_spells,
    ),
    Form(FatigueModel, "fatigue model"),
    Form(
        ChannelPreferenceModel,
        "channel preference model",
        check=_one_more_group,
    ),
    Form(
        CreativeModel,
        "creative model",
        check=_fitting_sizes,
    ),
    Form(CreativeChoices, "creative choices"),
    *settings(ActivityProfile, ChannelPreference, Creatives, Exploration, Fatigue, ReadingClock, SendTime),
)
