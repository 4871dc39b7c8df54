"""File forms of ranked lists and of the models that make them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import scipy.sparse as sp

from omnireco._forms.parts import Reader, Writer
from omnireco.errors import ParameterError
from omnireco.models.base import Recommendations
from omnireco.models.blend import BlendModel
from omnireco.models.factors import FactorModel
from omnireco.models.linear import ItemModel
from omnireco.models.neighbors import NeighborModel
from omnireco.models.popularity import PopularityModel
from omnireco.models.svd import ProjectionModel

__all__ = [
    "pack_blend",
    "pack_factors",
    "pack_item_model",
    "pack_member",
    "pack_neighbors",
    "pack_popularity",
    "pack_projection",
    "pack_recommendations",
    "unpack_blend",
    "unpack_factors",
    "unpack_item_model",
    "unpack_member",
    "unpack_neighbors",
    "unpack_popularity",
    "unpack_projection",
    "unpack_recommendations",
]


def pack_recommendations(recs: Recommendations, out: Writer) -> None:
    out.vocabulary("users", recs.users)
    out.vocabulary("items", recs.items)
    out.array("codes", recs.codes)
    out.array("scores", recs.scores)


def unpack_recommendations(parts: Reader) -> Recommendations:
    return Recommendations(
        parts.vocabulary("users"), parts.vocabulary("items"), parts.array("codes"), parts.array("scores")
    )


def pack_popularity(model: PopularityModel, out: Writer) -> None:
    out.vocabulary("items", model.items)
    out.array("popularity", model.popularity)
    out.array("vector", model.vector)
    out.fields["personal"] = model.personal


def unpack_popularity(parts: Reader) -> PopularityModel:
    return PopularityModel(
        parts.vocabulary("items"), parts.array("popularity"), parts.array("vector"), float(parts.fields["personal"])
    )


def pack_item_model(model: ItemModel, out: Writer) -> None:
    out.vocabulary("items", model.items)
    out.array("popularity", model.popularity)
    if sp.issparse(model.weights):
        out.csr("weights", model.weights)
    else:
        out.array("weights", model.weights)


def unpack_item_model(parts: Reader) -> ItemModel:
    weights = parts.csr("weights") if "weights" in parts.fields else parts.array("weights")
    return ItemModel(parts.vocabulary("items"), parts.array("popularity"), weights)


def pack_factors(model: FactorModel, out: Writer) -> None:
    out.vocabulary("items", model.items)
    out.array("popularity", model.popularity)
    out.array("factors", model.factors)
    out.fields["loss"] = asdict(model.loss)


def unpack_factors(parts: Reader) -> FactorModel:
    return FactorModel.from_arrays(
        parts.array("factors"),
        items=parts.vocabulary("items"),
        popularity=parts.array("popularity"),
        **parts.fields["loss"],
    )


def pack_projection(model: ProjectionModel, out: Writer) -> None:
    out.vocabulary("items", model.items)
    for name in ("popularity", "encode", "decode"):
        out.array(name, getattr(model, name))


def unpack_projection(parts: Reader) -> ProjectionModel:
    maps = parts.array("encode"), parts.array("decode")
    return ProjectionModel.from_arrays(*maps, items=parts.vocabulary("items"), popularity=parts.array("popularity"))


def pack_neighbors(model: NeighborModel, out: Writer) -> None:
    out.vocabulary("items", model.items)
    out.array("popularity", model.popularity)
    out.array("reach", model.reach)
    out.csr("people", model.people)
    out.fields |= {"neighbors": model.neighbors, "similarity": model.similarity, "shrinkage": model.shrinkage}


def unpack_neighbors(parts: Reader) -> NeighborModel:
    fields = parts.fields
    rules = int(fields["neighbors"]), fields["similarity"], float(fields["shrinkage"])
    people, reach = parts.csr("people"), parts.optional("reach")
    return NeighborModel(parts.vocabulary("items"), parts.array("popularity"), people, *rules, reach)


def pack_member(member: Any, start: str, out: Writer) -> list[Any]:
    """Pack a model inside another, its arrays under names that begin with ``start``; return its kind and fields."""
    from omnireco._forms.kinds import forms  # a member may be of any kind, a blend too

    kind = next((name for name, form in forms().items() if type(member) is form.kind), None)
    if kind is None:
        raise ParameterError(f"save: the model holds a {type(member).__name__}, which has no file form.")
    inner = Writer()
    forms()[kind].pack(member, inner)
    out.arrays |= {start + name: array for name, array in inner.arrays.items()}
    return [kind, inner.fields]


def unpack_member(parts: Reader, start: str, kind: str, fields: Mapping[str, Any]) -> Any:
    from omnireco._forms.kinds import forms  # a member may be of any kind, a blend too

    arrays = {name[len(start) :]: array for name, array in parts.arrays.items() if name.startswith(start)}
    return forms()[kind].unpack(Reader(fields, arrays))


def pack_blend(model: BlendModel, out: Writer) -> None:
    """Pack every model of the blend under its number."""
    kinds = [pack_member(member, f"{position}/", out) for position, member in enumerate(model.models)]
    out.fields |= {"members": kinds, "names": list(model.names), "weights": list(model.weights), "scale": model.scale}


def unpack_blend(parts: Reader) -> BlendModel:
    members = [unpack_member(parts, f"{n}/", *member) for n, member in enumerate(parts.fields["members"])]
    names, weights = parts.fields["names"], parts.fields["weights"]
    return BlendModel.of(
        dict(zip(names, members, strict=True)),
        weights=dict(zip(names, weights, strict=True)),
        scale=parts.fields["scale"],
    )
