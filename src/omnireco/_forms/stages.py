"""File forms of models built on other models, and of what follows a purchase."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from omnireco._checks import check_duration
from omnireco._forms.data import plain_weights
from omnireco._forms.models import pack_member, unpack_member
from omnireco._forms.parts import Reader, Writer
from omnireco._frozen import ReadOnly
from omnireco.data.weights import Weights
from omnireco.models._population import Field, Population
from omnireco.models._scorers import Quadratic, Trees
from omnireco.models.after import FollowUpsModel, RefillModel
from omnireco.models.calibration import Isotonic
from omnireco.models.channels import ChannelModel
from omnireco.models.newcomers import AttributeModel, Fallback, SegmentModel
from omnireco.models.rank import EventColumns, RankerModel
from omnireco.models.typed import TypedModel

__all__ = [
    "pack_attribute_model",
    "pack_channels",
    "pack_fallback",
    "pack_follow_ups",
    "pack_ranker",
    "pack_refills",
    "pack_segments",
    "pack_typed",
    "unpack_attribute_model",
    "unpack_channels",
    "unpack_fallback",
    "unpack_follow_ups",
    "unpack_ranker",
    "unpack_refills",
    "unpack_segments",
    "unpack_typed",
]


def pack_attribute_model(model: AttributeModel, out: Writer) -> None:
    out.fields["model"] = pack_member(model.model, "model/", out)
    out.vocabulary("attributes", model.attributes)
    out.array("slope", model.slope)
    out.array("start", model.start)


def unpack_attribute_model(parts: Reader) -> AttributeModel:
    model = unpack_member(parts, "model/", *parts.fields["model"])
    return AttributeModel(model, parts.vocabulary("attributes"), parts.array("slope"), parts.array("start"))


def pack_segments(model: SegmentModel, out: Writer) -> None:
    out.vocabulary("items", model.items)
    out.vocabulary("segments", model.segments)
    out.array("popularity", model.popularity)
    out.array("scores", model.scores)


def unpack_segments(parts: Reader) -> SegmentModel:
    known = parts.parts(("items", "segments"), ("popularity", "scores"))
    return SegmentModel(**known)


def pack_fallback(chain: Fallback, out: Writer) -> None:
    members = [pack_member(step, f"{number}/", out) for number, step in enumerate(chain.steps.values())]
    out.fields |= {"members": members, "names": list(chain.steps), "least": chain.least}


def unpack_fallback(parts: Reader) -> Fallback:
    members = [unpack_member(parts, f"{n}/", *member) for n, member in enumerate(parts.fields["members"])]
    return Fallback(dict(zip(parts.fields["names"], members, strict=True)), least=int(parts.fields["least"]))


def pack_refills(model: RefillModel, out: Writer) -> None:
    out.vocabulary("items", model.items)
    out.array("mu", model.mu)
    out.array("spread", model.spread)
    out.fields |= {"numbers": [model.within, model.between, model.returning], "events": list(model.events)}


def unpack_refills(parts: Reader) -> RefillModel:
    within, between, returning = map(float, parts.fields["numbers"])
    tables = parts.parts(("items",), ("mu", "spread"))
    return RefillModel(
        **tables, within=within, between=between, returning=returning, events=tuple(parts.fields["events"])
    )


_FOLLOW_UPS = ("bought", "item", "after", "people", "lift", "low", "high")


def pack_follow_ups(model: FollowUpsModel, out: Writer) -> None:
    out.vocabulary("items", model.items)
    for name in _FOLLOW_UPS:
        out.array(name, getattr(model, name))


def unpack_follow_ups(parts: Reader) -> FollowUpsModel:
    return FollowUpsModel(**parts.parts(("items",), _FOLLOW_UPS))


_TABLES = ("share", "facts", "gap", "category", "vectors")


_SCORERS: dict[str, tuple[type, tuple[str, ...]]] = {
    "logit": (Quadratic, ("centre", "scale", "linear", "products")),
    "trees": (Trees, ("root", "feature", "threshold", "value", "left", "right")),
}


def pack_ranker(model: RankerModel, out: Writer) -> None:
    known = model.population
    out.vocabulary("items", model.items)
    for name in _TABLES:
        out.array("table/" + name, getattr(known, name))
    for position, field_of in enumerate(known.fields):
        out.vocabulary(f"field/{position}", field_of.values)
        for name in ("key", "count", "total"):
            out.array(f"field/{position}/{name}", getattr(field_of, name))
    kind = next(name for name, (form, _) in _SCORERS.items() if type(model.scorer) is form)
    for name in _SCORERS[kind][1]:
        out.array("scorer/" + name, getattr(model.scorer, name))
    for position, curve in enumerate(model.curves.values()):
        out.array(f"curve/{position}", np.stack([curve.score, curve.chance]))
    out.fields |= {
        "members": [pack_member(member, f"{n}/", out) for n, member in enumerate(model.models.values())],
        "names": list(model.models),
        "weights": [plain_weights(weights) for weights in model.weights],
        "end_us": known.end_us,
        "fields": [field_of.name for field_of in known.fields],
        "table names": list(known.fact_names),
        "columns": asdict(model.columns),
        "n_candidates": model.n_candidates,
        "exclude_seen": model.exclude_seen,
        "half_lives": list(model.half_lives),
        "fact names": [list(names) for names in model.fact_names],
        "scorer": kind,
        "curves": list(model.curves),
        "calibration": {name: list(pair) for name, pair in model.calibration.items()},
    }


def unpack_ranker(parts: Reader) -> RankerModel:
    fields, items = parts.fields, parts.vocabulary("items")
    known = tuple(
        Field(
            name,
            parts.vocabulary(f"field/{position}"),
            *(parts.array(f"field/{position}/{column}") for column in ("key", "count", "total")),
        )
        for position, name in enumerate(fields["fields"])
    )
    tables = {name: parts.array("table/" + name) for name in _TABLES}
    form, names = _SCORERS[fields["scorer"]]
    columns = fields["columns"]
    return RankerModel(
        items=items,
        models={
            name: unpack_member(parts, f"{n}/", *member)
            for n, (name, member) in enumerate(zip(fields["names"], fields["members"], strict=True))
        },
        weights=tuple(Weights(**weights) for weights in fields["weights"]),
        population=Population(
            items=items, end_us=int(fields["end_us"]), fields=known, fact_names=tuple(fields["table names"]), **tables
        ),
        columns=EventColumns(
            tuple(columns["events"]),
            None if columns["unfinished"] is None else (columns["unfinished"][0], columns["unfinished"][1]),
            tuple(columns["dislikes"]),
        ),
        n_candidates=int(fields["n_candidates"]),
        exclude_seen=bool(fields["exclude_seen"]),
        half_lives=tuple(fields["half_lives"]),
        fact_names=tuple(tuple(group) for group in fields["fact names"]),
        scorer=form(*(parts.array("scorer/" + name) for name in names)),
        curves={name: Isotonic(*parts.array(f"curve/{position}")) for position, name in enumerate(fields["curves"])},
        calibration={name: (float(error), int(n)) for name, (error, n) in fields["calibration"].items()},
    )


def pack_typed(model: TypedModel, out: Writer) -> None:
    out.vocabulary("items", model.items)
    out.array("popularity", model.popularity)
    out.array("weights", model.weights)
    half_life = model.input_half_life
    if half_life is not None and not isinstance(half_life, (int, float, str)):
        half_life = f"{check_duration(half_life, 'input_half_life')}us"
    out.fields |= {"types": list(model.types), "target": model.target, "by": model.by, "half_life": half_life}


def unpack_typed(parts: Reader) -> TypedModel:
    fields = parts.fields
    return TypedModel.build(
        parts.vocabulary("items"),
        parts.array("popularity"),
        parts.array("weights"),
        types=tuple(fields["types"]),
        target=int(fields["target"]),
        by=fields["by"],
        input_half_life=fields["half_life"],
    )


def pack_channels(model: ChannelModel, out: Writer) -> None:
    out.fields["base"] = pack_member(model.base, "base/", out)
    out.array("lifts", model.lifts)
    out.array("people", model.people)
    weights = None if model.weights is None else dict(model.weights)
    out.fields |= {"channels": list(model.channels), "weights": weights, "lift": model.lift}
    out.fields |= {"saturation": model.saturation, "channel": model.channel}


def unpack_channels(parts: Reader) -> ChannelModel:
    fields = parts.fields
    return ChannelModel.build(
        unpack_member(parts, "base/", *fields["base"]),
        channels=tuple(fields["channels"]),
        lifts=parts.array("lifts"),
        people=parts.array("people"),
        lift=float(fields["lift"]),
        weights=None if fields["weights"] is None else ReadOnly(fields["weights"]),
        saturation=fields["saturation"],
        channel=fields["channel"],
    )
