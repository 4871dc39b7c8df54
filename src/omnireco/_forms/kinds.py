"""Every kind of value that has a file form, by the name in the header."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from omnireco._forms.data import (
    pack_audience,
    pack_catalog,
    pack_events,
    pack_identities,
    pack_interactions,
    pack_messages,
    pack_zones,
    unpack_audience,
    unpack_catalog,
    unpack_events,
    unpack_identities,
    unpack_interactions,
    unpack_messages,
    unpack_zones,
)
from omnireco._forms.models import (
    pack_blend,
    pack_factors,
    pack_item_model,
    pack_neighbors,
    pack_popularity,
    pack_projection,
    pack_recommendations,
    unpack_blend,
    unpack_factors,
    unpack_item_model,
    unpack_neighbors,
    unpack_popularity,
    unpack_projection,
    unpack_recommendations,
)
from omnireco._forms.parts import Reader, Writer
from omnireco._forms.plans import pack_plan, unpack_plan
from omnireco._forms.response import (
    pack_activity,
    pack_bandit,
    pack_creatives,
    pack_fatigue,
    pack_preference,
    pack_reading,
    pack_send_time,
    unpack_activity,
    unpack_bandit,
    unpack_creatives,
    unpack_fatigue,
    unpack_preference,
    unpack_reading,
    unpack_send_time,
)
from omnireco._forms.stages import (
    pack_attribute_model,
    pack_channels,
    pack_fallback,
    pack_follow_ups,
    pack_ranker,
    pack_refills,
    pack_segments,
    pack_typed,
    unpack_attribute_model,
    unpack_channels,
    unpack_fallback,
    unpack_follow_ups,
    unpack_ranker,
    unpack_refills,
    unpack_segments,
    unpack_typed,
)
from omnireco.data.audience import Audience
from omnireco.data.catalog import Catalog
from omnireco.data.events import EventLog
from omnireco.data.identity import Identities
from omnireco.data.interactions import Interactions
from omnireco.data.messages import MessageLog
from omnireco.data.zones import ZonePosterior
from omnireco.models.after import FollowUpsModel, RefillModel
from omnireco.models.base import Recommendations
from omnireco.models.blend import BlendModel
from omnireco.models.channels import ChannelModel
from omnireco.models.factors import FactorModel
from omnireco.models.linear import ItemModel
from omnireco.models.neighbors import NeighborModel
from omnireco.models.newcomers import AttributeModel, Fallback, SegmentModel
from omnireco.models.popularity import PopularityModel
from omnireco.models.rank import RankerModel
from omnireco.models.svd import ProjectionModel
from omnireco.models.typed import TypedModel
from omnireco.planning.plan import Plan
from omnireco.response.activity import ActivityModel
from omnireco.response.bandit import LiveBandit
from omnireco.response.channel import ChannelPreferenceModel
from omnireco.response.creatives import CreativeModel
from omnireco.response.fatigue import FatigueModel
from omnireco.response.reading import ReadingModel
from omnireco.response.send_time import SendTimeModel

__all__ = [
    "forms",
]


@dataclass(frozen=True, slots=True)
class _Form:
    """How one kind of value is taken apart and put together again."""

    kind: type
    pack: Callable[[Any, Writer], None]
    unpack: Callable[[Reader], Any]


def forms() -> dict[str, _Form]:
    """Return every kind that has a file form, by the name in the header."""
    return {
        "event log": _Form(EventLog, pack_events, unpack_events),
        "message log": _Form(MessageLog, pack_messages, unpack_messages),
        "audience": _Form(Audience, pack_audience, unpack_audience),
        "zone posterior": _Form(ZonePosterior, pack_zones, unpack_zones),
        "catalog": _Form(Catalog, pack_catalog, unpack_catalog),
        "identities": _Form(Identities, pack_identities, unpack_identities),
        "interactions": _Form(Interactions, pack_interactions, unpack_interactions),
        "recommendations": _Form(Recommendations, pack_recommendations, unpack_recommendations),
        "popularity model": _Form(PopularityModel, pack_popularity, unpack_popularity),
        "item model": _Form(ItemModel, pack_item_model, unpack_item_model),
        "factor model": _Form(FactorModel, pack_factors, unpack_factors),
        "activity model": _Form(ActivityModel, pack_activity, unpack_activity),
        "send time model": _Form(SendTimeModel, pack_send_time, unpack_send_time),
        "fatigue model": _Form(FatigueModel, pack_fatigue, unpack_fatigue),
        "reading model": _Form(ReadingModel, pack_reading, unpack_reading),
        "projection model": _Form(ProjectionModel, pack_projection, unpack_projection),
        "neighbor model": _Form(NeighborModel, pack_neighbors, unpack_neighbors),
        "refill model": _Form(RefillModel, pack_refills, unpack_refills),
        "follow-ups model": _Form(FollowUpsModel, pack_follow_ups, unpack_follow_ups),
        "ranker model": _Form(RankerModel, pack_ranker, unpack_ranker),
        "blend model": _Form(BlendModel, pack_blend, unpack_blend),
        "typed model": _Form(TypedModel, pack_typed, unpack_typed),
        "attribute model": _Form(AttributeModel, pack_attribute_model, unpack_attribute_model),
        "segment model": _Form(SegmentModel, pack_segments, unpack_segments),
        "fallback": _Form(Fallback, pack_fallback, unpack_fallback),
        "channel model": _Form(ChannelModel, pack_channels, unpack_channels),
        "channel preference model": _Form(ChannelPreferenceModel, pack_preference, unpack_preference),
        "creative model": _Form(CreativeModel, pack_creatives, unpack_creatives),
        "live bandit": _Form(LiveBandit, pack_bandit, unpack_bandit),
        "plan": _Form(Plan, pack_plan, unpack_plan),
    }
