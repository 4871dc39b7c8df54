"""One value of every kind, small, and the states they can be built in: what the laws about files run over."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

import omnireco as om
from omnireco.models.newcomers import SegmentPopularity

__all__ = ["states", "values"]


@cache
def _world() -> dict[str, Any]:
    world = om.simulate(n_users=60, n_items=20, days=60, seed=3)
    log = om.EventLog.from_frame(world.events)
    sent = om.MessageLog.from_frame(world.messages)
    audience = om.Audience.from_frame(world.users)
    catalog = om.Catalog.from_frame(world.items)
    return {"world": world, "log": log, "sent": sent, "audience": audience, "catalog": catalog, "x": log.matrix()}


@cache
def values() -> dict[str, Any]:
    """Return a filled value of every kind that can be saved, by a name that says what it is."""
    w = _world()
    log, sent, audience, x = w["log"], w["sent"], w["audience"], w["x"]
    split = log.split("14D")
    als = om.ALS(factors=8, iterations=3).fit(x)
    ease, popular = om.EASE().fit(x), om.Popularity().fit(x)
    recs = als.recommend(x, k=3)
    timing = om.SendTime().fit(log, sent, audience)
    slots = om.slots("2025-03-10", days=2)
    chances = om.candidates(recs, audience, timing, slots, channels=["email", "push"], eligibility=[om.QuietHours("21:00", "08:00")])
    live = om.LinearBandit().start(["a", "b"], features=3) if hasattr(om.LinearBandit, "start") else None
    return {
        "event log": log, "x": x, "als": als, "ease": ease, "popular": popular, "recs": recs, "timing": timing,
        "slots": slots, "chances": chances, "live": live, "split": split,
    }
