"""Recommenders: from histories to ranked items."""

from omnireco._core.contract import Estimator
from omnireco._kernels.topk.exact import ItemIndex, topk
from omnireco._moved import explain_unknown_names
from omnireco.models.base import Model, count_users, events_of, training_matrix
from omnireco.models.cold.attributes import (
    AttributeModel,
    AttributeRecommender,
    learn_people,
    people_attributes,
    with_people,
)
from omnireco.models.cold.new_items import add_new_items
from omnireco.models.cold.segments import SegmentModel, SegmentPopularity
from omnireco.models.lists.diversify import avoid, calibrated, mmr, promoted, quotas
from omnireco.models.lists.explain import Explanations, explain
from omnireco.models.lists.limits import dpp, limit_exposure, limit_popularity
from omnireco.models.matrix.factors import ALS, FactorModel
from omnireco.models.matrix.graph import GFCF, P3alpha, RP3beta
from omnireco.models.matrix.linear import EASE, ItemKNN, ItemModel
from omnireco.models.matrix.neighbors import NeighborModel, UserKNN
from omnireco.models.matrix.popularity import BuyAgain, Popularity, PopularityModel
from omnireco.models.matrix.slim import SLIM
from omnireco.models.matrix.svd import ProjectionModel, PureSVD
from omnireco.models.matrix.trained_by_implicit import BPR, LogisticMF
from omnireco.models.matrix.typed import TypedEASE, TypedModel, typed_inputs
from omnireco.models.sequence.next_basket import NextBasket, NextBasketModel
from omnireco.models.sequence.next_item import NextItem
from omnireco.models.sequence.sessions import SessionKNN, WhatNext
from omnireco.models.together.blend import Blend
from omnireco.models.together.blended import BlendModel
from omnireco.models.together.calibration import calibration_error
from omnireco.models.together.cross_channel import ChannelModel, CrossChannel, join_channels
from omnireco.models.together.fallback import Fallback, FallbackLists
from omnireco.models.together.ranker import Ranker, RankerModel

__all__ = [
    "ALS",
    "BPR",
    "EASE",
    "GFCF",
    "SLIM",
    "AttributeModel",
    "AttributeRecommender",
    "Blend",
    "BlendModel",
    "BuyAgain",
    "ChannelModel",
    "CrossChannel",
    "Estimator",
    "Explanations",
    "FactorModel",
    "Fallback",
    "FallbackLists",
    "ItemIndex",
    "ItemKNN",
    "ItemModel",
    "LogisticMF",
    "Model",
    "NeighborModel",
    "NextBasket",
    "NextBasketModel",
    "NextItem",
    "P3alpha",
    "Popularity",
    "PopularityModel",
    "ProjectionModel",
    "PureSVD",
    "RP3beta",
    "Ranker",
    "RankerModel",
    "SegmentModel",
    "SegmentPopularity",
    "SessionKNN",
    "TypedEASE",
    "TypedModel",
    "UserKNN",
    "WhatNext",
    "add_new_items",
    "avoid",
    "calibrated",
    "calibration_error",
    "count_users",
    "dpp",
    "events_of",
    "explain",
    "join_channels",
    "learn_people",
    "limit_exposure",
    "limit_popularity",
    "mmr",
    "people_attributes",
    "promoted",
    "quotas",
    "topk",
    "training_matrix",
    "typed_inputs",
    "with_people",
]

explain_unknown_names(__name__)
