"""Ranked lists, and the models that make them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from omnireco._core.form import Form
from omnireco._core.parts import demand, numbers
from omnireco._core.small import Each, Number, Table, Text, Value, settings
from omnireco.data.recommendations import Recommendations
from omnireco.journeys import FollowUps, FollowUpsModel, RefillModel, Refills, Returns, ReturnsModel
from omnireco.models.base import Model
from omnireco.models.cold.attributes import AttributeModel
from omnireco.models.cold.segments import SegmentModel, SegmentPopularity
from omnireco.models.lists.explain import Explanations
from omnireco.models.matrix.factors import ALS, FactorModel
from omnireco.models.matrix.graph import GFCF, P3alpha, RP3beta
from omnireco.models.matrix.linear import EASE, ItemKNN, ItemModel
from omnireco.models.matrix.neighbors import NeighborModel, UserKNN
from omnireco.models.matrix.popularity import BuyAgain, Popularity, PopularityModel
from omnireco.models.matrix.slim import SLIM
from omnireco.models.matrix.svd import ProjectionModel, PureSVD
from omnireco.models.matrix.trained_by_implicit import BPR, LogisticMF
from omnireco.models.matrix.typed import TypedEASE, TypedModel
from omnireco.models.sequence.next_basket import NextBasket, NextBasketModel
from omnireco.models.sequence.next_item import NextItem
from omnireco.models.sequence.sessions import SessionKNN, WhatNext
from omnireco.models.together.blend import Blend
from omnireco.models.together.blended import BlendModel
from omnireco.models.together.cross_channel import ChannelModel, CrossChannel
from omnireco.models.together.fallback import Fallback, FallbackLists
from omnireco.models.together.ranker import Ranker

__all__ = ["FORMS", "PER_ITEM"]

PER_ITEM = numbers("items", dtype=np.float32)


def _blocks_of_types(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    n_types = len(parts["types"])
    demand(sizes["inputs"] == n_types * sizes["items"] and parts["target"] < n_types, "weights do not fit the types")


def _padded_at_the_end(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    listed, scores = parts["codes"] >= 0, parts["scores"]
    demand(not (listed[:, 1:] & ~listed[:, :-1]).any(), "a list goes on after its end")
    demand(np.isfinite(scores[listed]).all() and (scores[~listed] == -np.inf).all(), "scores do not fit the lists")
    order = np.sort(parts["codes"], axis=1)
    demand(not ((order[:, 1:] == order[:, :-1]) & (order[:, 1:] >= 0)).any(), "a list holds an item twice")


def _take_blend(model: BlendModel) -> dict[str, Any]:
    names = model.names
    return {"models": dict(zip(names, model.models, strict=True)), "weights": model.weights, "scale": model.scale}


def _build_blend(models: Mapping[str, Model], weights: tuple[float, ...], scale: Any) -> BlendModel:
    return BlendModel.of(models, weights=dict(zip(models, weights, strict=True)), scale=scale)


FORMS = (
    Form(
        Recommendations,
        "recommendations",
        check=_padded_at_the_end,
        of_people=lambda lists: lists.key == "user_id",
    ),
    Form(PopularityModel, "popularity model"),
    Form(ItemModel, "item model"),
    Form(
        FactorModel,
        "factor model",
        build=FactorModel.build,
    ),
    Form(
        ProjectionModel,
        "projection model",
        build=ProjectionModel.from_arrays,
    ),
    Form(NeighborModel, "neighbor model", refit="om.models.UserKNN(...).fit(om.files.erase(x, user_ids))", blind=True),
    Form(
        NextBasketModel,
        "next basket model",
        refit="om.models.NextBasket(...).fit(om.files.erase(x, user_ids))",
        blind=True,
    ),
    Form(
        TypedModel,
        "typed model",
        build=TypedModel.build,
        check=_blocks_of_types,
    ),
    Form(
        BlendModel,
        "blend model",
        {"models": Table(Value((Model,))), "weights": Each(Number()), "scale": Text(("deviation", "rank", "none"))},
        take=_take_blend,
        build=_build_blend,
    ),
    Form(
        ChannelModel,
        "channel model",
        build=lambda base, **rest: ChannelModel.build(base, **rest),
    ),
    Form(AttributeModel, "attribute model"),
    Form(SegmentModel, "segment model"),
    Form(Fallback, "fallback"),
    Form(FallbackLists, "fallback lists"),
    Form(FollowUpsModel, "follow-ups model"),
    Form(RefillModel, "refill model"),
    Form(ReturnsModel, "returns model"),
    Form(Explanations, "explanations"),
    *settings(
        ALS,
        BPR,
        LogisticMF,
        EASE,
        GFCF,
        SLIM,
        Blend,
        BuyAgain,
        CrossChannel,
        FollowUps,
        ItemKNN,
        NextBasket,
        NextItem,
        P3alpha,
        Popularity,
        PureSVD,
        RP3beta,
        Ranker,
        Refills,
        Returns,
        SegmentPopularity,
        SessionKNN,
        TypedEASE,
        UserKNN,
        WhatNext,
    ),
)
