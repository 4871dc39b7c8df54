"""Ranked lists, and the models that make them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp

from omnireco._kernels.als.loss import Loss
from omnireco.data.recommendations import Recommendations
from omnireco.data.weights import Weights
from omnireco.files.form import Form, settings
from omnireco.files.parts import Array, Ids, Matrix, Maybe, Part, Scope, codes, counts, demand, numbers
from omnireco.files.small import Each, Number, Plain, Settings, Table, Text, Value, Whole
from omnireco.journeys import FollowUps, FollowUpsModel, RefillModel, Refills
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
from omnireco.models.matrix.typed import TypedEASE, TypedModel
from omnireco.models.sequence.next_item import NextItem
from omnireco.models.sequence.sessions import SessionKNN, WhatNext
from omnireco.models.together.blend import Blend, BlendModel
from omnireco.models.together.cross_channel import ChannelModel, CrossChannel
from omnireco.models.together.fallback import Fallback, FallbackLists
from omnireco.models.together.ranker import Ranker

__all__ = ["FORMS", "PER_ITEM"]

PER_ITEM = numbers("items", dtype=np.float32)
_WEIGHED = {"event_weights": Maybe(Settings(Weights))}


class _Weights(Part):
    """Item-to-item weights, all of them or the largest."""

    dense, sparse = numbers("items", "items", dtype=np.float32), Matrix("items", "items")

    def write(self, scope: Scope, name: str, value: Any) -> None:
        (self.sparse if sp.issparse(value) else self.dense).write(scope, name, value)

    def read(self, scope: Scope, name: str) -> Any:
        return (self.dense if scope.has(name) else self.sparse).read(scope, name)


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
        "recommendations",
        Recommendations,
        {
            **{name: Ids() for name in ("users", "items")},
            "codes": codes("items", "users", "k", none=True),
            "scores": numbers("users", "k", dtype=np.float32, endless=True),
        },
        check=_padded_at_the_end,
    ),
    Form(
        "popularity model",
        PopularityModel,
        {"items": Ids(), "popularity": PER_ITEM, "vector": PER_ITEM, "personal": Number(), **_WEIGHED},
    ),
    Form("item model", ItemModel, {"items": Ids(), "popularity": PER_ITEM, "weights": _Weights(), **_WEIGHED}),
    Form(
        "factor model",
        FactorModel,
        {
            "items": Ids(),
            "popularity": PER_ITEM,
            "factors": numbers("items", "d", dtype=np.float32),
            "loss": Settings(Loss),
            **_WEIGHED,
        },
        build=FactorModel.build,
    ),
    Form(
        "projection model",
        ProjectionModel,
        {
            "items": Ids(),
            "popularity": PER_ITEM,
            "encode": numbers("items", "d", dtype=np.float32),
            "decode": numbers("items", "d", dtype=np.float32),
            **_WEIGHED,
        },
        build=ProjectionModel.from_arrays,
    ),
    Form(
        "neighbor model",
        NeighborModel,
        {
            "items": Ids(),
            "popularity": PER_ITEM,
            "people": Matrix("people", "items"),
            "neighbors": Whole(1),
            "similarity": Text(("cosine", "jaccard")),
            "shrinkage": Number(low=0.0),
            "reach": Maybe(numbers("people", dtype=np.float32)),
            **_WEIGHED,
        },
    ),
    Form(
        "typed model",
        TypedModel,
        {
            "items": Ids(),
            "popularity": PER_ITEM,
            "weights": numbers("inputs", "items", dtype=np.float32),
            "types": Each(Text()),
            "target": Whole(),
            "by": Text(("event", "channel", "channel and event")),
            "input_half_life": Plain(),
        },
        build=TypedModel.build,
        check=_blocks_of_types,
    ),
    Form(
        "blend model",
        BlendModel,
        {"models": Table(Value((Model,))), "weights": Each(Number()), "scale": Text(("deviation", "rank", "none"))},
        take=_take_blend,
        build=_build_blend,
    ),
    Form(
        "channel model",
        ChannelModel,
        {
            "base": Value((Model,)),
            "channels": Each(Text(), "channels"),
            "lifts": numbers("channels", "base.items", dtype=np.float32),
            "people": numbers("channels", "base.items", dtype=np.float32, low=0.0),
            "lift": Number(low=0.0),
            "channel_weights": Maybe(Plain(Mapping[str, float])),
            "saturation": Text(("none", "log", "binary")),
            "channel": Maybe(Text()),
        },
        build=lambda base, **rest: ChannelModel.build(base, **rest),
    ),
    Form(
        "attribute model",
        AttributeModel,
        {
            "model": Value((FactorModel,)),
            "attributes": Ids(),
            "slope": numbers("attributes", "model.d", dtype=np.float32),
            "start": numbers("model.d", dtype=np.float32),
        },
    ),
    Form(
        "segment model",
        SegmentModel,
        {
            "items": Ids(),
            "popularity": PER_ITEM,
            "segments": Ids(),
            "scores": numbers("segments", "items", dtype=np.float32),
            **_WEIGHED,
        },
    ),
    Form("fallback", Fallback, {"steps": Table(Value()), "least": Whole(1)}),
    Form(
        "fallback lists",
        FallbackLists,
        {
            "lists": Value((Recommendations,)),
            "steps": Each(Text(), "steps"),
            "step": codes("steps", "lists.users", none=True),
        },
    ),
    Form(
        "follow-ups model",
        FollowUpsModel,
        {
            "items": Ids(),
            "bought": counts("items"),
            "item": codes("items", "pairs"),
            "following": codes("items", "pairs"),
            "people": counts("pairs"),
            **{name: numbers("pairs", low=0.0) for name in ("lift", "low", "high")},
            "events": Each(Text()),
        },
    ),
    Form(
        "refill model",
        RefillModel,
        {
            "items": Ids(),
            "mu": numbers("items"),
            "spread": numbers("items", low=0.0),
            **{name: Number(1e-9, 1e9) for name in ("within", "between")},
            "returning": Number(0.0, 1.0),
            "events": Each(Text()),
        },
    ),
    Form(
        "explanations",
        Explanations,
        {
            **{name: Ids() for name in ("users", "items")},
            **{name: Each(Text(), name) for name in ("channels", "ages")},
            "user": codes("users", "n"),
            "item": codes("items", "n"),
            "because": codes("items", "n"),
            "channel": codes("channels", "n"),
            "contribution": numbers("n"),
            "age": Array(np.int32, ("n",), -1),
        },
    ),
    *settings(
        ALS,
        EASE,
        GFCF,
        SLIM,
        Blend,
        BuyAgain,
        CrossChannel,
        FollowUps,
        ItemKNN,
        NextItem,
        P3alpha,
        Popularity,
        PureSVD,
        RP3beta,
        Ranker,
        Refills,
        SegmentPopularity,
        SessionKNN,
        TypedEASE,
        UserKNN,
        WhatNext,
    ),
)
