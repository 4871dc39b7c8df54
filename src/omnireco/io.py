"""Save and load values in one safe file each: arrays plus a JSON header, never pickle.

The file is a zip of ``.npy`` arrays (NumPy's npz, without objects) and a header that names the format, its
version, the kind of value and a checksum per array. It is written under a temporary name and renamed, so a
reader never sees half a file; a damaged, foreign or newer file is a :class:`StorageError`, never a crash,
and loading never runs code.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from omnireco._checks import check_duration
from omnireco._frozen import ReadOnly
from omnireco.data.audience import Audience
from omnireco.data.catalog import Catalog
from omnireco.data.events import EventLog
from omnireco.data.identity import Identities
from omnireco.data.interactions import Interactions
from omnireco.data.linking import LinkRules
from omnireco.data.messages import MessageLog
from omnireco.data.vocabulary import Vocabulary
from omnireco.data.weights import Weights
from omnireco.data.zones import ZonePosterior
from omnireco.errors import OmnirecoError, ParameterError, StorageError
from omnireco.models._population import Field, Population
from omnireco.models._scorers import Quadratic, Trees
from omnireco.models.after import FollowUpsModel, RefillModel
from omnireco.models.base import Recommendations
from omnireco.models.blend import BlendModel
from omnireco.models.calibration import Isotonic
from omnireco.models.channels import ChannelModel
from omnireco.models.factors import FactorModel
from omnireco.models.linear import ItemModel
from omnireco.models.neighbors import NeighborModel
from omnireco.models.newcomers import AttributeModel, Fallback, SegmentModel
from omnireco.models.popularity import PopularityModel
from omnireco.models.rank import EventColumns, RankerModel
from omnireco.models.svd import ProjectionModel
from omnireco.models.typed import TypedModel
from omnireco.planning.candidates import Candidates
from omnireco.planning.plan import Plan, Price
from omnireco.planning.rules import Past, Touches
from omnireco.response.activity import ActivityModel, ChannelCells
from omnireco.response.arms import Posteriors
from omnireco.response.bandit import LinearBandit, LiveBandit
from omnireco.response.channel import ChannelPreference, ChannelPreferenceModel
from omnireco.response.creatives import CreativeModel, Creatives
from omnireco.response.fatigue import FatigueModel
from omnireco.response.profiles import Base, Pooling
from omnireco.response.rates import Habits, Spells
from omnireco.response.reading import ReadingModel
from omnireco.response.segments import Groups
from omnireco.response.send_time import SendTimeModel

__all__ = ["load", "save"]

_FORMAT, _VERSION = "omnireco", 1
_HEADER = "header.json"
_OF_IDENTITIES = ("node_kind", "node_id", "person", "a", "b", "strength", "linked_at", "status")
_OF_SOME_MESSAGES = ("propensity", "machine", "clicked_at", "unsubscribed_at")
# What numpy, json and zipfile raise on bytes that are not theirs.
_DAMAGE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    EOFError,
    SyntaxError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
)


def save(value: Any, path: str | os.PathLike[str]) -> Path:
    """Write a model, log, matrix, audience, catalogue, recommendations or plan to a file.

    Parameters
    ----------
    value : a value of omnireco
        Models, EventLog, MessageLog, Audience, Identities, Catalog, Interactions, Recommendations, Plan.
    path : str or path
        The file; replaced when it exists. The usual ending is ``.omnireco``.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ParameterError
        When the value is of a kind that has no file form.
    StorageError
        When the file cannot be written; an older file stays as it was.

    Examples
    --------
    >>> import tempfile, omnireco as om
    >>> model = om.FactorModel.from_arrays([[1.0, 0.0], [0.0, 1.0]], items=["tea", "cup"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     om.load(om.save(model, folder + "/model.omnireco"))
    FactorModel(2 items, 2 factors)
    """
    kind = next((name for name, form in _forms().items() if type(value) is form.kind), None)
    if kind is None:
        raise ParameterError(
            f"save takes a model, log, matrix, audience, catalogue, lists or plan. Got {type(value).__name__}. "
            "Frames are written by their own library: frame.to_parquet(path)."
        )
    out = _Writer()
    _forms()[kind].pack(value, out)
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "kind": kind,
        "fields": out.fields,
        "checksums": {name: _checksum(array) for name, array in out.arrays.items()},
    }
    target = Path(path)
    try:
        _write(target, json.dumps(header, sort_keys=True).encode(), out.arrays)
    except OSError as error:
        raise StorageError(f"save: cannot write {target.name!r}: {error.strerror or error}.") from error
    return target


def load(path: str | os.PathLike[str]) -> Any:
    """Read a value written by :func:`save`.

    Raises
    ------
    StorageError
        When there is no such file, or it is damaged, not omnireco's, or written by a newer version.
    """
    target = Path(path)
    try:
        header, arrays = _read(target)
        return _forms()[header["kind"]].unpack(_Reader(header["fields"], arrays))
    except StorageError:
        raise
    except FileNotFoundError:
        raise StorageError(f"load: there is no file {target.name!r} in that folder.") from None
    except _DAMAGE as error:
        reason = str(error) if isinstance(error, OmnirecoError) else type(error).__name__
        raise StorageError(
            f"load: {target.name!r} is damaged or not a file of omnireco ({reason}). Restore a copy, or save it again."
        ) from None


@dataclass(slots=True)
class _Writer:
    """Collects the parts of a value: named arrays, and small fields that fit in JSON."""

    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)

    def array(self, name: str, array: np.ndarray | None) -> None:
        if array is not None:
            self.arrays[name] = np.ascontiguousarray(array)

    def vocabulary(self, name: str, vocabulary: Vocabulary) -> None:
        if vocabulary.ids.dtype != object:
            self.arrays[name] = vocabulary.ids
            return
        encoded = [text.encode("utf-8", "surrogatepass") for text in vocabulary.ids]
        self.arrays[name + "/text"] = np.frombuffer(b"".join(encoded), np.uint8)
        self.arrays[name + "/ends"] = np.cumsum([len(text) for text in encoded], dtype=np.int64)

    def csr(self, name: str, matrix: sp.csr_matrix) -> None:
        for part in ("data", "indices", "indptr"):
            self.arrays[f"{name}/{part}"] = getattr(matrix, part)
        self.fields[name] = list(matrix.shape)

    def labels(self, name: str, labels: Mapping[str, tuple[Vocabulary, np.ndarray]]) -> None:
        self.fields[name] = list(labels)
        for position, (vocabulary, codes) in enumerate(labels.values()):
            self.vocabulary(f"{name}/{position}/ids", vocabulary)
            self.array(f"{name}/{position}/codes", codes)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Hands the parts back."""

    fields: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]

    def array(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def parts(self, vocabularies: Iterable[str], arrays: Iterable[str]) -> dict[str, Any]:
        """Return named vocabularies and arrays, ready to be passed by keyword."""
        return {name: self.vocabulary(name) for name in vocabularies} | {name: self.arrays[name] for name in arrays}

    def optional(self, name: str) -> np.ndarray | None:
        return self.arrays.get(name)

    def vocabulary(self, name: str) -> Vocabulary:
        if name in self.arrays:
            return Vocabulary(self.arrays[name])
        text, ends = self.arrays[name + "/text"].tobytes(), self.arrays[name + "/ends"].tolist()
        ids = np.empty(len(ends), object)
        ids[:] = [text[a:b].decode("utf-8", "surrogatepass") for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        return Vocabulary(ids)

    def csr(self, name: str) -> sp.csr_matrix:
        parts = tuple(self.arrays[f"{name}/{part}"] for part in ("data", "indices", "indptr"))
        matrix = sp.csr_matrix(parts, tuple(self.fields[name]))
        matrix.check_format(full_check=True)
        return matrix

    def labels(self, name: str) -> dict[str, tuple[Vocabulary, np.ndarray]]:
        return {
            label: (self.vocabulary(f"{name}/{position}/ids"), self.array(f"{name}/{position}/codes"))
            for position, label in enumerate(self.fields[name])
        }


@dataclass(frozen=True, slots=True)
class _Form:
    """How one kind of value is taken apart and put together again."""

    kind: type
    pack: Callable[[Any, _Writer], None]
    unpack: Callable[[_Reader], Any]


def _forms() -> dict[str, _Form]:
    """Return every kind that has a file form, by the name in the header."""
    return {
        "event log": _Form(EventLog, _pack_events, _unpack_events),
        "message log": _Form(MessageLog, _pack_messages, _unpack_messages),
        "audience": _Form(Audience, _pack_audience, _unpack_audience),
        "zone posterior": _Form(ZonePosterior, _pack_zones, _unpack_zones),
        "catalog": _Form(Catalog, _pack_catalog, _unpack_catalog),
        "identities": _Form(Identities, _pack_identities, _unpack_identities),
        "interactions": _Form(Interactions, _pack_interactions, _unpack_interactions),
        "recommendations": _Form(Recommendations, _pack_recommendations, _unpack_recommendations),
        "popularity model": _Form(PopularityModel, _pack_popularity, _unpack_popularity),
        "item model": _Form(ItemModel, _pack_item_model, _unpack_item_model),
        "factor model": _Form(FactorModel, _pack_factors, _unpack_factors),
        "activity model": _Form(ActivityModel, _pack_activity, _unpack_activity),
        "send time model": _Form(SendTimeModel, _pack_send_time, _unpack_send_time),
        "fatigue model": _Form(FatigueModel, _pack_fatigue, _unpack_fatigue),
        "reading model": _Form(ReadingModel, _pack_reading, _unpack_reading),
        "projection model": _Form(ProjectionModel, _pack_projection, _unpack_projection),
        "neighbor model": _Form(NeighborModel, _pack_neighbors, _unpack_neighbors),
        "refill model": _Form(RefillModel, _pack_refills, _unpack_refills),
        "follow-ups model": _Form(FollowUpsModel, _pack_follow_ups, _unpack_follow_ups),
        "ranker model": _Form(RankerModel, _pack_ranker, _unpack_ranker),
        "blend model": _Form(BlendModel, _pack_blend, _unpack_blend),
        "typed model": _Form(TypedModel, _pack_typed, _unpack_typed),
        "attribute model": _Form(AttributeModel, _pack_attribute_model, _unpack_attribute_model),
        "segment model": _Form(SegmentModel, _pack_segments, _unpack_segments),
        "fallback": _Form(Fallback, _pack_fallback, _unpack_fallback),
        "channel model": _Form(ChannelModel, _pack_channels, _unpack_channels),
        "channel preference model": _Form(ChannelPreferenceModel, _pack_preference, _unpack_preference),
        "creative model": _Form(CreativeModel, _pack_creatives, _unpack_creatives),
        "live bandit": _Form(LiveBandit, _pack_bandit, _unpack_bandit),
        "plan": _Form(Plan, _pack_plan, _unpack_plan),
    }


def _pack_events(log: EventLog, out: _Writer) -> None:
    for name in ("users", "items", "channels", "events"):
        out.vocabulary(name, getattr(log, name))
    for name in ("user", "item", "channel", "event", "at", "value"):
        out.array(name, getattr(log, name))
    out.labels("labels", log.labels)
    out.fields["window"] = [log.start_us, log.end_us]


def _unpack_events(parts: _Reader) -> EventLog:
    known = parts.parts(("users", "items", "channels", "events"), ("user", "item", "channel", "event", "at"))
    start, end = parts.fields["window"]
    return EventLog(
        **known, value=parts.optional("value"), labels=parts.labels("labels"), start_us=int(start), end_us=int(end)
    )


def _pack_messages(log: MessageLog, out: _Writer) -> None:
    for name in ("users", "channels", "items", "creatives"):
        out.vocabulary(name, getattr(log, name))
    for name in ("user", "channel", "item", "creative", "sent_at", "responded_at", *_OF_SOME_MESSAGES):
        out.array(name, getattr(log, name))
    out.fields["end_us"] = log.end_us


def _unpack_messages(parts: _Reader) -> MessageLog:
    known = parts.parts(
        ("users", "channels", "items", "creatives"),
        ("user", "channel", "item", "creative", "sent_at", "responded_at"),
    )
    optional: dict[str, Any] = {name: parts.optional(name) for name in _OF_SOME_MESSAGES}
    return MessageLog(**known, **optional, end_us=int(parts.fields["end_us"]))


def _pack_audience(audience: Audience, out: _Writer) -> None:
    for name in ("users", "zones", "channels"):
        out.vocabulary(name, getattr(audience, name))
    for name in ("zone", "consent", "reachable"):
        out.array(name, getattr(audience, name))
    out.labels("attributes", audience.attributes)


def _unpack_audience(parts: _Reader) -> Audience:
    known = parts.parts(("users", "zones", "channels"), ("zone", "consent", "reachable"))
    return Audience(**known, attributes=parts.labels("attributes"))


def _pack_zones(found: ZonePosterior, out: _Writer) -> None:
    for name in ("users", "zones"):
        out.vocabulary(name, getattr(found, name))
    for name in ("row", "indptr", "zone", "probability"):
        out.array(name, getattr(found, name))


def _unpack_zones(parts: _Reader) -> ZonePosterior:
    return ZonePosterior(**parts.parts(("users", "zones"), ("row", "indptr", "zone", "probability")))


def _pack_identities(identities: Identities, out: _Writer) -> None:
    for name in ("kinds", "ids", "people"):
        out.vocabulary(name, getattr(identities, name))
    for name in _OF_IDENTITIES:
        out.array(name, getattr(identities, name))
    rules = identities.rules
    out.fields["rules"] = {
        "max_ids": rules.max_ids,
        "max_links": None if rules.max_links is None else [[key, most] for key, most in rules.max_links.items()],
        "min_strength": _by_kind(rules.min_strength),
        "expiry": _by_kind(rules.expiry, lambda value: f"{check_duration(value, 'expiry')}us"),
    }
    out.fields["trusted"], out.fields["at_us"] = list(identities.trusted), identities.at_us


def _by_kind(rule: Any, spell: Callable[[Any], Any] = float) -> Any:
    """Return a rule, one value or one by kind, as JSON holds it."""
    if isinstance(rule, Mapping):
        return {kind: spell(value) for kind, value in rule.items()}
    return None if rule is None else spell(rule)


def _unpack_identities(parts: _Reader) -> Identities:
    rules = dict(parts.fields["rules"])
    if rules["max_links"] is not None:  # a pair of kinds comes back as a list
        rules["max_links"] = {key if isinstance(key, str) else tuple(key): most for key, most in rules["max_links"]}
    known = parts.parts(("kinds", "ids", "people"), _OF_IDENTITIES)
    trusted, at_us = tuple(parts.fields["trusted"]), parts.fields["at_us"]
    return Identities(**known, rules=LinkRules(**rules), trusted=trusted, at_us=at_us)


def _pack_catalog(catalog: Catalog, out: _Writer) -> None:
    out.vocabulary("items", catalog.items)
    labels = {"category": catalog.category, "name": catalog.name}
    out.labels("labels", {name: pair for name, pair in labels.items() if pair is not None})
    out.array("price", catalog.price)
    out.array("margin", catalog.margin)


def _unpack_catalog(parts: _Reader) -> Catalog:
    labels = parts.labels("labels")
    return Catalog(
        parts.vocabulary("items"),
        labels.get("category"),
        labels.get("name"),
        parts.optional("price"),
        parts.optional("margin"),
    )


def _pack_interactions(x: Interactions, out: _Writer) -> None:
    out.vocabulary("users", x.users)
    out.vocabulary("items", x.items)
    out.csr("csr", x.csr)
    out.fields["at_us"] = x.at_us
    out.fields["weights"] = _weights_to_json(x.weights)
    out.fields["layers"] = list(x.layers)
    for position, layer in enumerate(x.layers.values()):
        if layer is not x.csr:
            out.csr(f"layer/{position}", layer)
    if x.targets is not None:
        out.csr("targets", x.targets)


def _unpack_interactions(parts: _Reader) -> Interactions:
    csr = parts.csr("csr")
    layers = {
        name: parts.csr(f"layer/{position}") if f"layer/{position}" in parts.fields else csr
        for position, name in enumerate(parts.fields["layers"])
    }
    targets = parts.csr("targets") if "targets" in parts.fields else None
    known = _weights_from_json(parts.fields.get("weights"))
    users, items = parts.vocabulary("users"), parts.vocabulary("items")
    return Interactions(users, items, csr, layers, parts.fields["at_us"], targets, known)


def _weights_to_json(weights: Weights | None) -> dict[str, Any] | None:
    if weights is None or weights.targets is not None or weights.verdicts is not None:
        return None  # such a matrix cannot be updated, which is what the weights are kept for
    found = {one.name: getattr(weights, one.name) for one in dataclasses.fields(weights)}
    for name in ("events", "channels"):
        found[name] = None if found[name] is None else dict(found[name])
    for name in ("half_life", "deduplicate"):
        found[name] = None if found[name] is None else f"{check_duration(found[name], name)}us"
    return found


def _weights_from_json(found: dict[str, Any] | None) -> Weights | None:
    return None if found is None else Weights(**found)


def _pack_recommendations(recs: Recommendations, out: _Writer) -> None:
    out.vocabulary("users", recs.users)
    out.vocabulary("items", recs.items)
    out.array("codes", recs.codes)
    out.array("scores", recs.scores)


def _unpack_recommendations(parts: _Reader) -> Recommendations:
    return Recommendations(
        parts.vocabulary("users"), parts.vocabulary("items"), parts.array("codes"), parts.array("scores")
    )


def _pack_popularity(model: PopularityModel, out: _Writer) -> None:
    out.vocabulary("items", model.items)
    out.array("popularity", model.popularity)
    out.array("vector", model.vector)
    out.fields["personal"] = model.personal


def _unpack_popularity(parts: _Reader) -> PopularityModel:
    return PopularityModel(
        parts.vocabulary("items"), parts.array("popularity"), parts.array("vector"), float(parts.fields["personal"])
    )


def _pack_activity(model: ActivityModel, out: _Writer, prefix: str = "") -> None:
    out.vocabulary(prefix + "users", model.users)
    for name in ("indptr", "hour", "weight", "history", "trust", "gains", "quarters"):
        out.array(prefix + name, getattr(model, name))
    for name in ("theta", "phi", "pi"):
        out.array(prefix + name, getattr(model.base, name))
    for name in Groups._fields:
        out.array(f"{prefix}groups/{name}", getattr(model.groups, name))
    for i, part in enumerate(model.channels.values()):
        out.array(f"{prefix}channels/{i}/strength", np.array([part.strength]))
        for name in ("indptr", "hour", "weight"):
            out.array(f"{prefix}channels/{i}/{name}", getattr(part, name))
    pooling = model.pooling
    out.array(prefix + "pooling", np.array([*pooling.strengths, pooling.hour_width, pooling.day_width]))
    out.fields[prefix + "counts"] = [model.half_life_us, model.n_caused, model.n_without_zone]
    out.fields[prefix + "channels"] = list(model.channels)


def _unpack_activity(parts: _Reader, prefix: str = "") -> ActivityModel:
    half_life, caused, without_zone = parts.fields[prefix + "counts"]
    a, b, c, d, hour_width, day_width = parts.array(prefix + "pooling").tolist()
    names = ("indptr", "hour", "weight", "history", "trust", "gains", "quarters")
    channels = {
        str(name): ChannelCells(
            float(parts.array(f"{prefix}channels/{i}/strength")[0]),
            *(parts.array(f"{prefix}channels/{i}/{part}") for part in ("indptr", "hour", "weight")),
        )
        for i, name in enumerate(parts.fields[prefix + "channels"])
    }
    return ActivityModel(
        users=parts.vocabulary(prefix + "users"),
        base=Base(*(parts.array(prefix + name) for name in ("theta", "phi", "pi"))),
        groups=Groups(*(parts.array(f"{prefix}groups/{name}") for name in Groups._fields)),
        channels=channels,
        pooling=Pooling((a, b, c, d), hour_width, day_width),
        half_life_us=half_life,
        n_caused=int(caused),
        n_without_zone=int(without_zone),
        **{name: parts.array(prefix + name) for name in names},
    )


_SEND_TIME_ARRAYS = ("rate", "tau", "reading", "own", "follows", "kinds", "curve_parameters", "factor")


def _pack_send_time(model: SendTimeModel, out: _Writer) -> None:
    _pack_activity(model.activity, out, "activity/")
    out.vocabulary("channels", model.channels)
    out.vocabulary("people", model.people)
    for name in _SEND_TIME_ARRAYS:
        out.array(name, getattr(model, name))
    out.fields["assumed"] = [model.base_rate, model.default_tau, model.life, model.n_messages]


def _unpack_send_time(parts: _Reader) -> SendTimeModel:
    base_rate, default_tau, life, n_messages = parts.fields["assumed"]
    return SendTimeModel(
        activity=_unpack_activity(parts, "activity/"),
        **parts.parts(
            ("channels", "people"), ("rate", "tau", "reading", "own", "follows", "kinds", "curve_parameters", "factor")
        ),
        base_rate=float(base_rate),
        default_tau=float(default_tau),
        life=life,
        n_messages=int(n_messages),
    )


_SPELLS = ("row", "channel", "start", "stop", "at", "human", "click", "weight")
_READING = ("tau", "base", "level", "indptr", "machine_share")


_FATIGUE = (
    "coefficient",
    "low",
    "high",
    "unsubscribe",
    "answer_rate",
    "n_messages",
    "indptr",
    "sent_at",
    "per_day",
)


def _pack_fatigue(model: FatigueModel, out: _Writer) -> None:
    for name in ("users", "channels"):
        out.vocabulary(name, getattr(model, name))
    for name in _FATIGUE:
        out.array(name, getattr(model, name))
    out.fields["numbers"] = [model.common, model.half_life_us, model.unsubscribe_slope]


def _unpack_fatigue(parts: _Reader) -> FatigueModel:
    common, half_life, slope = parts.fields["numbers"]
    known = parts.parts(("users", "channels"), _FATIGUE)
    return FatigueModel(**known, common=float(common), half_life_us=int(half_life), unsubscribe_slope=float(slope))


def _pack_reading(model: ReadingModel, out: _Writer) -> None:
    for name in ("users", "channels"):
        out.vocabulary(name, getattr(model, name))
    for name in _READING:
        out.array(name, getattr(model, name))
    for name in _SPELLS:
        out.array("spells/" + name, getattr(model.spells, name))
    for name in ("phi", "pi", "appetite"):
        out.array("habits/" + name, getattr(model.habits, name))
    out.fields["habits"] = [model.habits.tilt, *model.habits.strengths]
    out.fields["open_weight"] = model.open_weight
    out.fields["has_activity"] = model.activity is not None
    if model.activity is not None:
        _pack_activity(model.activity, out, "activity/")


def _unpack_reading(parts: _Reader) -> ReadingModel:
    tilt, part, day, hour = (float(number) for number in parts.fields["habits"])
    phi, pi, appetite = (parts.array("habits/" + name) for name in ("phi", "pi", "appetite"))
    return ReadingModel(
        **parts.parts(("users", "channels"), _READING),
        habits=Habits(phi, pi, tilt, (part, day, hour), appetite),
        spells=Spells(*(parts.array("spells/" + name) for name in _SPELLS)),
        activity=_unpack_activity(parts, "activity/") if parts.fields["has_activity"] else None,
        open_weight=float(parts.fields["open_weight"]),
    )


def _pack_item_model(model: ItemModel, out: _Writer) -> None:
    out.vocabulary("items", model.items)
    out.array("popularity", model.popularity)
    if sp.issparse(model.weights):
        out.csr("weights", model.weights)
    else:
        out.array("weights", model.weights)


def _unpack_item_model(parts: _Reader) -> ItemModel:
    weights = parts.csr("weights") if "weights" in parts.fields else parts.array("weights")
    return ItemModel(parts.vocabulary("items"), parts.array("popularity"), weights)


def _pack_factors(model: FactorModel, out: _Writer) -> None:
    out.vocabulary("items", model.items)
    out.array("popularity", model.popularity)
    out.array("factors", model.factors)
    out.fields["loss"] = asdict(model.loss)


def _unpack_factors(parts: _Reader) -> FactorModel:
    return FactorModel.from_arrays(
        parts.array("factors"),
        items=parts.vocabulary("items"),
        popularity=parts.array("popularity"),
        **parts.fields["loss"],
    )


def _pack_projection(model: ProjectionModel, out: _Writer) -> None:
    out.vocabulary("items", model.items)
    for name in ("popularity", "encode", "decode"):
        out.array(name, getattr(model, name))


def _unpack_projection(parts: _Reader) -> ProjectionModel:
    maps = parts.array("encode"), parts.array("decode")
    return ProjectionModel.from_arrays(*maps, items=parts.vocabulary("items"), popularity=parts.array("popularity"))


def _pack_neighbors(model: NeighborModel, out: _Writer) -> None:
    out.vocabulary("items", model.items)
    out.array("popularity", model.popularity)
    out.array("reach", model.reach)
    out.csr("people", model.people)
    out.fields |= {"neighbors": model.neighbors, "similarity": model.similarity, "shrinkage": model.shrinkage}


def _unpack_neighbors(parts: _Reader) -> NeighborModel:
    fields = parts.fields
    rules = int(fields["neighbors"]), fields["similarity"], float(fields["shrinkage"])
    people, reach = parts.csr("people"), parts.optional("reach")
    return NeighborModel(parts.vocabulary("items"), parts.array("popularity"), people, *rules, reach)


def _pack_member(member: Any, start: str, out: _Writer) -> list[Any]:
    """Pack a model inside another, its arrays under names that begin with ``start``; return its kind and fields."""
    kind = next((name for name, form in _forms().items() if type(member) is form.kind), None)
    if kind is None:
        raise ParameterError(f"save: the model holds a {type(member).__name__}, which has no file form.")
    inner = _Writer()
    _forms()[kind].pack(member, inner)
    out.arrays |= {start + name: array for name, array in inner.arrays.items()}
    return [kind, inner.fields]


def _unpack_member(parts: _Reader, start: str, kind: str, fields: Mapping[str, Any]) -> Any:
    arrays = {name[len(start) :]: array for name, array in parts.arrays.items() if name.startswith(start)}
    return _forms()[kind].unpack(_Reader(fields, arrays))


def _pack_blend(model: BlendModel, out: _Writer) -> None:
    """Pack every model of the blend under its number."""
    kinds = [_pack_member(member, f"{position}/", out) for position, member in enumerate(model.models)]
    out.fields |= {"members": kinds, "names": list(model.names), "weights": list(model.weights), "scale": model.scale}


def _unpack_blend(parts: _Reader) -> BlendModel:
    members = [_unpack_member(parts, f"{n}/", *member) for n, member in enumerate(parts.fields["members"])]
    names, weights = parts.fields["names"], parts.fields["weights"]
    return BlendModel.of(
        dict(zip(names, members, strict=True)),
        weights=dict(zip(names, weights, strict=True)),
        scale=parts.fields["scale"],
    )


def _pack_attribute_model(model: AttributeModel, out: _Writer) -> None:
    out.fields["model"] = _pack_member(model.model, "model/", out)
    out.vocabulary("attributes", model.attributes)
    out.array("slope", model.slope)
    out.array("start", model.start)


def _unpack_attribute_model(parts: _Reader) -> AttributeModel:
    model = _unpack_member(parts, "model/", *parts.fields["model"])
    return AttributeModel(model, parts.vocabulary("attributes"), parts.array("slope"), parts.array("start"))


def _pack_segments(model: SegmentModel, out: _Writer) -> None:
    out.vocabulary("items", model.items)
    out.vocabulary("segments", model.segments)
    out.array("popularity", model.popularity)
    out.array("scores", model.scores)


def _unpack_segments(parts: _Reader) -> SegmentModel:
    known = parts.parts(("items", "segments"), ("popularity", "scores"))
    return SegmentModel(**known)


def _pack_fallback(chain: Fallback, out: _Writer) -> None:
    members = [_pack_member(step, f"{number}/", out) for number, step in enumerate(chain.steps.values())]
    out.fields |= {"members": members, "names": list(chain.steps), "least": chain.least}


def _unpack_fallback(parts: _Reader) -> Fallback:
    members = [_unpack_member(parts, f"{n}/", *member) for n, member in enumerate(parts.fields["members"])]
    return Fallback(dict(zip(parts.fields["names"], members, strict=True)), least=int(parts.fields["least"]))


def _pack_refills(model: RefillModel, out: _Writer) -> None:
    out.vocabulary("items", model.items)
    out.array("mu", model.mu)
    out.array("spread", model.spread)
    out.fields |= {"numbers": [model.within, model.between, model.returning], "events": list(model.events)}


def _unpack_refills(parts: _Reader) -> RefillModel:
    within, between, returning = map(float, parts.fields["numbers"])
    tables = parts.parts(("items",), ("mu", "spread"))
    return RefillModel(
        **tables, within=within, between=between, returning=returning, events=tuple(parts.fields["events"])
    )


_FOLLOW_UPS = ("bought", "item", "after", "people", "lift", "low", "high")


def _pack_follow_ups(model: FollowUpsModel, out: _Writer) -> None:
    out.vocabulary("items", model.items)
    for name in _FOLLOW_UPS:
        out.array(name, getattr(model, name))


def _unpack_follow_ups(parts: _Reader) -> FollowUpsModel:
    return FollowUpsModel(**parts.parts(("items",), _FOLLOW_UPS))


_TABLES = ("share", "facts", "gap", "category", "vectors")
_SCORERS: dict[str, tuple[type, tuple[str, ...]]] = {
    "logit": (Quadratic, ("centre", "scale", "linear", "products")),
    "trees": (Trees, ("root", "feature", "threshold", "value", "left", "right")),
}


def _pack_ranker(model: RankerModel, out: _Writer) -> None:
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
        "members": [_pack_member(member, f"{n}/", out) for n, member in enumerate(model.models.values())],
        "names": list(model.models),
        "weights": [_plain_weights(weights) for weights in model.weights],
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


def _unpack_ranker(parts: _Reader) -> RankerModel:
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
            name: _unpack_member(parts, f"{n}/", *member)
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


def _plain_weights(weights: Weights) -> dict[str, Any]:
    """Return the parameters of a Weights as JSON can hold them; durations as text."""
    plain: dict[str, Any] = {name: getattr(weights, name) for name in ("value", "cap", "binary", "step_half_life")}
    for name in ("events", "channels"):
        table = getattr(weights, name)
        plain[name] = None if table is None else dict(table)
    for name in ("half_life", "deduplicate"):
        given = getattr(weights, name)
        plain[name] = None if given is None else f"{check_duration(given, name)}us"
    return plain


def _pack_typed(model: TypedModel, out: _Writer) -> None:
    out.vocabulary("items", model.items)
    out.array("popularity", model.popularity)
    out.array("weights", model.weights)
    half_life = model.input_half_life
    if half_life is not None and not isinstance(half_life, (int, float, str)):
        half_life = f"{check_duration(half_life, 'input_half_life')}us"
    out.fields |= {"types": list(model.types), "target": model.target, "by": model.by, "half_life": half_life}


def _unpack_typed(parts: _Reader) -> TypedModel:
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


def _pack_channels(model: ChannelModel, out: _Writer) -> None:
    out.fields["base"] = _pack_member(model.base, "base/", out)
    out.array("lifts", model.lifts)
    out.array("people", model.people)
    weights = None if model.weights is None else dict(model.weights)
    out.fields |= {"channels": list(model.channels), "weights": weights, "lift": model.lift}
    out.fields |= {"saturation": model.saturation, "channel": model.channel}


def _unpack_channels(parts: _Reader) -> ChannelModel:
    fields = parts.fields
    return ChannelModel.build(
        _unpack_member(parts, "base/", *fields["base"]),
        channels=tuple(fields["channels"]),
        lifts=parts.array("lifts"),
        people=parts.array("people"),
        lift=float(fields["lift"]),
        weights=None if fields["weights"] is None else ReadOnly(fields["weights"]),
        saturation=fields["saturation"],
        channel=fields["channel"],
    )


_CREATIVE_ARRAYS = ("item", "tags", "interests", "weights", "spread", "item_offset", "creative_offset", "lean")


def _pack_creatives(model: CreativeModel, out: _Writer) -> None:
    for name in ("creatives", "items", "users"):
        out.vocabulary(name, getattr(model, name))
    for name in (*_CREATIVE_ARRAYS, "variance", "strays"):
        out.array(name, getattr(model, name))
    out.fields |= {"parameters": _plain(asdict(model.parameters)), "n_messages": model.n_messages}


def _unpack_creatives(parts: _Reader) -> CreativeModel:
    known = parts.parts(("creatives", "items", "users"), (*_CREATIVE_ARRAYS, "variance", "strays"))
    return CreativeModel(
        parameters=Creatives(**parts.fields["parameters"]), n_messages=int(parts.fields["n_messages"]), **known
    )


_PREFERENCE_ARRAYS = ("group", "a", "b", "group_a", "group_b", "tries", "strengths")


def _pack_preference(model: ChannelPreferenceModel, out: _Writer) -> None:
    for name in ("users", "channels", "kinds", "groups"):
        out.vocabulary(name, getattr(model, name))
    for name in _PREFERENCE_ARRAYS:
        out.array(name, getattr(model, name))
    out.fields |= {"parameters": asdict(model.parameters), "share": model.share}


def _unpack_preference(parts: _Reader) -> ChannelPreferenceModel:
    return ChannelPreferenceModel(
        parameters=ChannelPreference(**parts.fields["parameters"]),
        share=bool(parts.fields["share"]),
        **parts.parts(("users", "channels", "kinds", "groups"), _PREFERENCE_ARRAYS),
    )


def _plain(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return parameters with durations written as JSON has them."""
    import datetime as dt

    kinds = (dt.timedelta, np.timedelta64)
    return {
        name: f"{check_duration(value, name)}us" if isinstance(value, kinds) else value
        for name, value in parameters.items()
    }


def _pack_bandit(live: LiveBandit, out: _Writer) -> None:
    state, waiting = live.parts()
    out.vocabulary("arms", live.arms)
    names = ("theta", "cov", "features", "count", "a", "b", "rr", "shared", "spread")
    for name in names:
        out.array(name, getattr(state, name))
    for name, array in waiting.items():
        out.array("waiting/" + name, array)
    numbers = ("d", "surprise", "n_events", "n_fitted", "scale", "level", "offset")
    out.fields |= {"parameters": asdict(live.bandit), "state": {name: getattr(state, name) for name in numbers}}
    out.fields["counts"] = live.counts()


def _unpack_bandit(parts: _Reader) -> LiveBandit:
    names = ("theta", "cov", "count", "a", "b", "rr", "shared", "spread")
    bandit: LinearBandit = LinearBandit(**parts.fields["parameters"])
    known: dict[str, Any] = (
        parts.fields["state"]
        | {"offset": tuple(parts.fields["state"]["offset"])}
        | {name: parts.array(name) for name in names}
    )
    state = Posteriors(
        regularization=bandit.regularization,
        discount=bandit.discount,
        features=parts.optional("features"),
        **known,
    )
    waiting = {name[8:]: array for name, array in parts.arrays.items() if name.startswith("waiting/")}
    return LiveBandit.from_parts(bandit, parts.vocabulary("arms"), state, waiting, parts.fields["counts"])


def _pack_plan(plan: Plan, out: _Writer) -> None:
    """Take a plan apart: what is sent, what is not and why; not the past that frequency caps counted."""
    touches, found = plan.touches.touches, plan.touches
    for name in ("users", "items", "channels"):
        out.vocabulary(name, getattr(touches, name))
    for name in ("user", "item", "channel", "send_at", "local_at", "consent", "reachable"):
        out.array(name, getattr(touches, name))
    out.array("touch_value", found.value)
    out.array("probability", found.probability)
    out.array("reason", plan.reason)
    out.labels("labels", found.labels)
    out.fields |= {"left_out": list(found.left_out.items()), "reasons": list(plan.reasons)}
    out.fields |= {"value": plan.value, "bound": plan.bound, "exact": plan.exact, "costs": dict(plan.costs)}
    out.fields["rows"] = [[row.constraint, row.row, row.used, row.limit, row.price] for row in plan.rows]


def _unpack_plan(parts: _Reader) -> Plan:
    known = parts.parts(
        ("users", "items", "channels"),
        ("user", "item", "channel", "send_at", "local_at", "consent", "reachable"),
    )
    nothing = np.empty(0, np.int32)
    touches = Touches(**known, past=Past(nothing, nothing, np.empty(0, np.int64)))
    fields = parts.fields
    found = Candidates(
        touches,
        parts.array("touch_value"),
        parts.optional("probability"),
        parts.labels("labels"),
        dict(fields["left_out"]),
    )
    return Plan(
        found,
        parts.array("reason"),
        tuple(fields["reasons"]),
        float(fields["value"]),
        float(fields["bound"]),
        bool(fields["exact"]),
        fields["costs"],
        tuple(Price(*row) for row in fields["rows"]),
    )


def _write(target: Path, header: bytes, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a zip next to the target and rename it over the target."""
    handle, temporary = tempfile.mkstemp(prefix=target.name, suffix=".part", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_HEADER, header)
            for name, array in arrays.items():
                with archive.open(name + ".npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, array, allow_pickle=False)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _read(target: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the header and the arrays of a file, checked against their checksums."""
    with zipfile.ZipFile(target) as archive:
        header = json.loads(archive.read(_HEADER))
        if header["format"] != _FORMAT:
            raise ValueError
        if header["version"] > _VERSION:
            raise StorageError(
                f"load: {target.name!r} has format version {header['version']}, and this one reads up to {_VERSION}. "
                "Upgrade: pip install -U omnireco."
            )
        arrays = {}
        for name, checksum in header["checksums"].items():
            with archive.open(name + ".npy") as entry:
                arrays[name] = np.lib.format.read_array(entry, allow_pickle=False)
            if _checksum(arrays[name]) != checksum:
                raise StorageError(f"load: {target.name!r} is damaged: a checksum differs. Restore it from a copy.")
    return header, arrays


def _checksum(array: np.ndarray) -> str:
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).view(np.uint8).data if array.size else b"")
    return digest.hexdigest()
