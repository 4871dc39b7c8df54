"""Habits, chances and decisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from omnireco._core.form import Form
from omnireco._core.parts import Array, Maybe, Offsets, Record, chances, codes, counts, demand, flags, instants, numbers
from omnireco._core.small import Each, Flag, Number, Table, Value, Whole, settings
from omnireco._kernels.week.pooling import Base, Pooling
from omnireco._kernels.week.rates import LONGEST_HOURS, Habits, Spells
from omnireco.choices.channel import ChannelPreference, ChannelPreferenceModel
from omnireco.choices.creatives import CreativeChoices, CreativeModel, Creatives
from omnireco.data.parts import Ids
from omnireco.timing.activity import ActivityModel, ActivityProfile, ChannelCells
from omnireco.timing.fatigue import Fatigue, FatigueModel
from omnireco.timing.reading_clock import ReadingClock, ReadingModel
from omnireco.timing.segments import Groups
from omnireco.timing.send_time import SendTime, SendTimeModel

__all__ = ["FORMS"]

_WEEK = 168
_FADE = numbers("channels", low=1e-3, high=1e5)  # hours after which a message is forgotten: walks are as long
_STRENGTH = Number(low=0.0, endless=True)
_HOURS = Array(np.uint8, ("cells",), 0, _WEEK - 1)
_SESSIONS = numbers("cells", dtype=np.float32, low=0.0)


def _fitting_activity(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    demand(sizes["grouped"] in (0, sizes["users"]), "groups do not fit the people")
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
        {
            "users": Ids(),
            "indptr": Offsets("users", "cells"),
            "hour": _HOURS,
            "weight": _SESSIONS,
            "history": counts("users", high=(1 << 31) - 1, dtype=np.int32),
            "base": Record(
                Base,
                {
                    "theta": numbers(_WEEK, low=0.0),
                    "phi": numbers("segments", _WEEK, low=0.0),
                    "pi": chances("segments"),
                },
            ),
            "groups": Record(
                Groups,
                {
                    "prior": chances("groups", "segments"),
                    "start": numbers("groups", _WEEK, low=0.0),
                    "group": codes("groups", "grouped"),
                },
            ),
            "pooling": Record(
                Pooling,
                {"strengths": Each(_STRENGTH), "hour_width": Number(0.01, 1e3), "day_width": Number(0.01, 1e3)},
            ),
            "trust": chances(4),
            "quarters": chances("segments", 4),
            "channels": Table(
                Record(
                    ChannelCells,
                    {
                        "strength": _STRENGTH,
                        "indptr": Offsets("users", "on_channel"),
                        "hour": Array(np.uint8, ("on_channel",), 0, _WEEK - 1),
                        "weight": numbers("on_channel", dtype=np.float32, low=0.0),
                    },
                )
            ),
            "half_life_us": Maybe(Whole(1)),
            "n_caused": Whole(),
            "n_without_zone": Whole(),
            "gains": numbers("gains", 3),
        },
        check=_fitting_activity,
    ),
    Form(
        SendTimeModel,
        "send time model",
        {
            "activity": Value((ActivityModel,)),
            "rate": numbers("activity.users", low=0.0),
            "channels": Ids(text=True),
            "people": Ids(),
            "tau": _FADE,
            "reading": numbers("channels", _WEEK, low=0.0),
            "own": chances("channels"),
            "follows": numbers("channels", "activity.segments", "activity.segments", low=0.0),
            "kinds": numbers("channels", "people", "activity.segments", dtype=np.float32, low=0.0),
            "everybody": numbers("channels", _WEEK),
            "log_rate": numbers("channels", _WEEK + 1),
            "log_rate_sd": numbers("channels", _WEEK + 1, low=0.0),
            "tried": flags("channels", _WEEK),
            "curve_parameters": numbers("channels", 3),
            "factor": numbers("people", "channels", low=0.0),
            "factor_sd": numbers("people", "channels", low=0.0),
            "basis": Array(np.int8, ("channels",), 0, 3),
            "base_rate": Number(0.0, 1.0),
            "default_tau": Number(1e-3, LONGEST_HOURS),
            "life": Maybe(Whole(0, LONGEST_HOURS)),
            "n_messages": Whole(),
            "n_machine": Whole(),
        },
    ),
    Form(
        ReadingModel,
        "reading model",
        {
            "users": Ids(),
            "channels": Ids(text=True),
            "tau": _FADE,
            "base": numbers("channels", _WEEK, low=0.0),
            "level": numbers("channels", low=0.0),
            "habits": Record(
                Habits,
                {
                    "phi": numbers("kinds", _WEEK, low=0.0),
                    "pi": chances("kinds"),
                    "tilt": Number(),
                    "strengths": Each(_STRENGTH),
                    "appetite": numbers("channels", low=0.0, endless=True),
                },
            ),
            "indptr": Offsets("users", "messages"),
            "spells": Record(
                Spells,
                {
                    "row": codes("users", "messages"),
                    "channel": codes("channels", "messages"),
                    "start": numbers("messages", low=0.0, high=_WEEK),
                    "stop": numbers("messages", low=0.0, high=LONGEST_HOURS),
                    "at": instants("messages"),
                    "human": chances("messages"),
                    "click": flags("messages"),
                    "weight": numbers("messages", low=0.0),
                },
            ),
            "activity": Maybe(Value((ActivityModel,))),
            "open_weight": Number(low=0.0),
            "machine_share": chances("channels", missing=True),
            "n_machine": Whole(),
        },
        check=_fitting_spells,
    ),
    Form(
        FatigueModel,
        "fatigue model",
        {
            "channels": Ids(text=True),
            **{name: numbers("channels") for name in ("coefficient", "low", "high")},
            "common": Number(),
            "half_life_us": Whole(1),
            "unsubscribe": chances("channels"),
            "unsubscribe_slope": Number(),
            "answer_rate": chances("channels"),
            "n_messages": counts("channels"),
            "users": Ids(),
            "indptr": Offsets("users", "messages"),
            "sent_at": instants("messages"),
            "per_day": numbers("users", "channels", low=0.0),
            "n_machine": Whole(),
        },
    ),
    Form(
        ChannelPreferenceModel,
        "channel preference model",
        {
            "parameters": Value((ChannelPreference,)),
            "users": Ids(),
            **{name: Ids() for name in ("channels", "kinds", "groups")},
            "group": codes("groups", "users", none=True),
            **{name: numbers("users", "channels", "kinds", low=0.0) for name in ("a", "b", "tries")},
            **{name: numbers("beliefs", "channels", "kinds", low=0.0) for name in ("group_a", "group_b")},
            "strengths": numbers("channels", 3, low=0.0, endless=True),
            "share": Flag(),
            "n_machine": Whole(),
        },
        check=_one_more_group,
    ),
    Form(
        CreativeModel,
        "creative model",
        {
            "parameters": Value((Creatives,)),
            **{name: Ids() for name in ("creatives", "items", "users")},
            "item": codes("items", "creatives"),
            "tags": numbers("creatives", "tags"),
            "interests": numbers("users", "interests"),
            "weights": numbers("weights"),
            "spread": numbers("weights", "weights"),
            "item_offset": numbers("items"),
            "creative_offset": numbers("creatives"),
            "lean": numbers("creatives", "weights"),
            "variance": numbers("creatives", low=0.0),
            "strays": numbers(2, low=0.0),
            "n_messages": Whole(),
            "n_machine": Whole(),
        },
        check=_fitting_sizes,
    ),
    Form(
        CreativeChoices,
        "creative choices",
        {
            **{name: Ids() for name in ("users", "items", "creatives")},
            "user": codes("users", "n"),
            "item": codes("items", "n"),
            "creative": codes("creatives", "n", none=True),
            "propensity": chances("n", missing=True),
            "probability": chances("n", missing=True),
        },
    ),
    *settings(ActivityProfile, ChannelPreference, Creatives, Fatigue, ReadingClock, SendTime),
)
