"""What to offer, how to show it, where and when to send it: cross-channel recommendations, measured honestly.

>>> import omnireco as om
>>> world = om.simulate(n_users=60, n_items=20, days=60, seed=1)
>>> log = om.EventLog.from_frame(world.events)
>>> model = om.ItemKNN(neighbors=10).fit(log.matrix())
>>> model.recommend(log.matrix(), k=3).k
3
"""

import logging

from omnireco import adapters, datasets, errors, io
from omnireco._versions import show_versions
from omnireco.data import (
    Audience,
    Catalog,
    EventLog,
    Interactions,
    MessageLog,
    Slots,
    Vocabulary,
    Weights,
    slots,
)
from omnireco.data.identity import Identities, ResolveReport
from omnireco.data.linking import LinkRules
from omnireco.data.quality import QualityReport
from omnireco.data.requests import Requests
from omnireco.data.scan import EventScan
from omnireco.data.splits import fingerprint, leave_last, split_people, split_rolling
from omnireco.data.zones import ZonePosterior
from omnireco.evaluation import (
    Report,
    average_precision,
    coverage,
    diversity,
    evaluate,
    headroom,
    hit_rate,
    mean_reciprocal_rank,
    ndcg,
    novelty,
    precision,
    recall,
)
from omnireco.evaluation.blends import LearnedBlend, learn_blend
from omnireco.evaluation.channel_report import ChannelReport, channel_report
from omnireco.evaluation.channels import ChannelComparison, compare_channels
from omnireco.evaluation.costs import cost_of
from omnireco.evaluation.learn import LearnedWeights, learn_weights
from omnireco.evaluation.offpolicy import OffPolicy, cross_fitted_rewards, off_policy
from omnireco.export import recommend_to_parquet
from omnireco.io import load, save
from omnireco.linkage import probabilistic_links
from omnireco.models import (
    ALS,
    EASE,
    GFCF,
    SLIM,
    Blend,
    BlendModel,
    BuyAgain,
    ChannelModel,
    CrossChannel,
    FactorModel,
    ItemKNN,
    ItemModel,
    Model,
    NeighborModel,
    NextItem,
    P3alpha,
    Popularity,
    PopularityModel,
    ProjectionModel,
    PureSVD,
    Recommendations,
    RP3beta,
    TypedEASE,
    TypedModel,
    UserKNN,
    join_channels,
    typed_inputs,
)
from omnireco.models.after import FollowUps, FollowUpsModel, RefillModel, Refills, unfinished
from omnireco.models.calibration import calibration_error
from omnireco.models.cold import add_new_items
from omnireco.models.diversify import avoid, calibrated, mmr, promoted, quotas
from omnireco.models.explain import Explanations, explain
from omnireco.models.limits import dpp, limit_exposure, limit_popularity
from omnireco.models.newcomers import (
    AttributeModel,
    Fallback,
    FallbackLists,
    SegmentModel,
    SegmentPopularity,
    learn_people,
    people_attributes,
    with_people,
)
from omnireco.models.rank import Ranker, RankerModel
from omnireco.models.session import SessionKNN, WhatNext
from omnireco.models.topk import ItemIndex, topk
from omnireco.planning import (
    Budget,
    Candidates,
    Capacity,
    Consent,
    Constraint,
    Eligibility,
    FrequencyCap,
    OncePerItem,
    Plan,
    QuietHours,
    Reachable,
    candidates,
    plan,
)
from omnireco.reproduce import Reproduction, reproduce
from omnireco.response import (
    ActivityModel,
    ActivityProfile,
    Fatigue,
    FatigueModel,
    ReadingClock,
    ReadingModel,
    SendTime,
    SendTimeModel,
    infer_zones,
)
from omnireco.response.bandit import Decisions, LinearBandit, LiveBandit
from omnireco.response.channel import ChannelPreference, ChannelPreferenceModel
from omnireco.response.creatives import CreativeChoices, CreativeModel, Creatives
from omnireco.response.propensity import thompson_propensities
from omnireco.simulate import simulate

__version__ = "0.1.0"

logging.getLogger(__name__).addHandler(logging.NullHandler())

__all__ = [
    "ALS",
    "EASE",
    "GFCF",
    "SLIM",
    "ActivityModel",
    "ActivityProfile",
    "AttributeModel",
    "Audience",
    "Blend",
    "BlendModel",
    "Budget",
    "BuyAgain",
    "Candidates",
    "Capacity",
    "Catalog",
    "ChannelComparison",
    "ChannelModel",
    "ChannelPreference",
    "ChannelPreferenceModel",
    "ChannelReport",
    "Consent",
    "Constraint",
    "CreativeChoices",
    "CreativeModel",
    "Creatives",
    "CrossChannel",
    "Decisions",
    "Eligibility",
    "EventLog",
    "EventScan",
    "Explanations",
    "FactorModel",
    "Fallback",
    "FallbackLists",
    "Fatigue",
    "FatigueModel",
    "FollowUps",
    "FollowUpsModel",
    "FrequencyCap",
    "Identities",
    "Interactions",
    "ItemIndex",
    "ItemKNN",
    "ItemModel",
    "LearnedBlend",
    "LearnedWeights",
    "LinearBandit",
    "LinkRules",
    "LiveBandit",
    "MessageLog",
    "Model",
    "NeighborModel",
    "NextItem",
    "OffPolicy",
    "OncePerItem",
    "P3alpha",
    "Plan",
    "Popularity",
    "PopularityModel",
    "ProjectionModel",
    "PureSVD",
    "QualityReport",
    "QuietHours",
    "RP3beta",
    "Ranker",
    "RankerModel",
    "Reachable",
    "ReadingClock",
    "ReadingModel",
    "Recommendations",
    "RefillModel",
    "Refills",
    "Report",
    "Reproduction",
    "Requests",
    "ResolveReport",
    "SegmentModel",
    "SegmentPopularity",
    "SendTime",
    "SendTimeModel",
    "SessionKNN",
    "Slots",
    "TypedEASE",
    "TypedModel",
    "UserKNN",
    "Vocabulary",
    "Weights",
    "WhatNext",
    "ZonePosterior",
    "__version__",
    "adapters",
    "add_new_items",
    "average_precision",
    "avoid",
    "calibrated",
    "calibration_error",
    "candidates",
    "channel_report",
    "compare_channels",
    "cost_of",
    "coverage",
    "cross_fitted_rewards",
    "datasets",
    "diversity",
    "dpp",
    "errors",
    "evaluate",
    "explain",
    "fingerprint",
    "headroom",
    "hit_rate",
    "infer_zones",
    "io",
    "join_channels",
    "learn_blend",
    "learn_people",
    "learn_weights",
    "leave_last",
    "limit_exposure",
    "limit_popularity",
    "load",
    "mean_reciprocal_rank",
    "mmr",
    "ndcg",
    "novelty",
    "off_policy",
    "people_attributes",
    "plan",
    "precision",
    "probabilistic_links",
    "promoted",
    "quotas",
    "recall",
    "recommend_to_parquet",
    "reproduce",
    "save",
    "show_versions",
    "simulate",
    "slots",
    "split_people",
    "split_rolling",
    "thompson_propensities",
    "topk",
    "typed_inputs",
    "unfinished",
    "with_people",
]
