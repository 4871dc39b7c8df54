"""What people did, were sent, and are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from omnireco._core.form import Form
from omnireco._core.parts import Cuts, Maybe, Parts, demand
from omnireco._core.small import INSTANT, Each, Value, settings
from omnireco.data.asking.item_sets import ItemSets
from omnireco.data.asking.requests import Asked, Requests
from omnireco.data.audience import Audience
from omnireco.data.catalog import Catalog
from omnireco.data.clock import Slots, is_zone
from omnireco.data.dataset import Dataset
from omnireco.data.events import EventLog
from omnireco.data.frames.quality import Finding, QualityReport
from omnireco.data.holidays import Holidays
from omnireco.data.interactions import Interactions
from omnireco.data.messages import NEVER, MessageLog
from omnireco.data.parts import Frame, Ids
from omnireco.data.places.amounts import UserAmounts
from omnireco.data.places.distances import DistanceDecay
from omnireco.data.places.stock import StockLevels
from omnireco.data.places.stores import Nearby, Shops
from omnireco.data.resolving import ResolveReport
from omnireco.data.vocabulary import Vocabulary
from omnireco.data.weights import Weights
from omnireco.identity.identities import Identities
from omnireco.identity.linking import LinkRules
from omnireco.identity.zones import ZonePosterior

__all__ = ["FORMS"]


def _log_in_window(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    start, end, at = parts["start_us"], parts["end_us"], parts["at"]
    demand(
        start <= end and (not at.size or (start <= at[0] and at[-1] < end)), "events lie outside the window of the log"
    )


def _sent_before_the_end(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    demand(not parts["sent_at"].size or parts["sent_at"][-1] < parts["end_us"], "messages lie after the end of the log")
    answered = parts["responded_at"]
    demand(
        not (answered != NEVER).any() or answered[answered != NEVER].max() < parts["end_us"],
        "answers lie after the end of the log",
    )


def _known_zones(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    demand(all(is_zone(name) for name in parts["zones"].ids), "zones holds what is no time zone")


def _distributions(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    _known_zones(parts, sizes)
    indptr, chance = parts["indptr"], parts["probability"]
    sums = np.add.reduceat(np.append(chance, 0.0), indptr[:-1]) if indptr.size > 1 else np.ones(0)
    demand((np.diff(indptr) > 0).all() and np.allclose(sums, 1.0, atol=2e-3), "probabilities do not sum to 1")


def _some_slots(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    demand(sizes["at"], "there is no slot")


def _ordered_links(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    demand((parts["a"] <= parts["b"]).all(), "a link has its ends in the wrong order")


def _take_interactions(x: Interactions) -> dict[str, Any]:
    """Return the parts; a layer that is the whole is written once."""
    layers = {name: None if layer is x.csr else layer for name, layer in x.layers.items()}
    return {name: getattr(x, name) for name in ("users", "items", "csr", "at_us", "targets", "weights")} | {
        "layers": layers
    }


def _build_interactions(csr: Any, layers: Mapping[str, Any], **rest: Any) -> Interactions:
    return Interactions(
        csr=csr, layers={name: csr if layer is None else layer for name, layer in layers.items()}, **rest
    )


class _Chosen(Value):
    """What was chosen, a row per request: its users are requests, and go with those."""

    def find_people(self, value: Any, name: str) -> Iterator[tuple[str, Any]]:
        return iter(())

    def hang(self, value: Any, name: str, cuts: Cuts) -> None:
        """Nobody is looked for among numbers of requests."""

    def cut(self, value: Any, name: str, cuts: Cuts) -> Any:
        return value


_DATASET: Parts = {
    "events": Maybe(Value((EventLog,))),
    "messages": Maybe(Value((MessageLog,))),
    "audience": Maybe(Value((Audience,))),
    "catalog": Maybe(Value((Catalog,))),
    "identities": Maybe(Value((Identities,))),
    "attributes": Maybe(Value((Interactions,))),
    "requests": Maybe(Value((Requests,))),
    "chosen": Maybe(_Chosen((Interactions,))),
    "facts": Each(Frame(people=("user_id",))),
    "creatives": Maybe(Frame()),
    "end_us": INSTANT,
}


def _take_dataset(data: Dataset) -> dict[str, Any]:
    """Return the parts, events, messages, audience and requests by the ids they came with."""
    *given, asked = data._given()
    parts = dict(zip(("events", "messages", "audience"), given, strict=True))
    parts |= {"requests": None, "chosen": None} if asked is None else asked._asdict()
    return {name: getattr(data, name, None) for name in _DATASET} | parts


def _build_dataset(requests: Requests | None, chosen: Interactions | None, **parts: Any) -> Dataset:
    asked = None
    if requests is not None and chosen is not None:
        same = requests.ids == chosen.users  # not after somebody was erased
        asked = Asked(requests, chosen if same else chosen.take(chosen.users.codes(requests.ids.ids)))
    made = Dataset()._with(asked=asked, **parts)
    if made.identities is not None:
        made._resolve((made.events, made.messages, made.audience, asked), made.identities)
    made._check_parts()
    return made


def _one_cut(parts: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    """Refuse logs that reach past the end of their Dataset, and choices of other requests."""
    for name in ("events", "messages"):
        demand(parts[name] is None or parts[name].end_us <= parts["end_us"], f"{name} reach past the end of the data")
    requests, chosen = parts["requests"], parts["chosen"]
    demand((requests is None) == (chosen is None), "requests and what was chosen come together")
    demand(requests is None or requests.ids == chosen.users, "what was chosen belongs to other requests")


FORMS = (
    Form(Dataset, "dataset", _DATASET, take=_take_dataset, build=_build_dataset, check=_one_cut),
    Form(ItemSets, "item sets"),
    Form(
        EventLog,
        "event log",
        check=_log_in_window,
    ),
    Form(
        MessageLog,
        "message log",
        check=_sent_before_the_end,
    ),
    Form(Audience, "audience", check=_known_zones),
    Form(Holidays, "holidays"),
    Form(UserAmounts, "amounts"),
    Form(StockLevels, "stock"),
    Form(Shops, "shops", check=_known_zones),
    Form(Nearby, "nearby"),
    Form(DistanceDecay, "distance decay"),
    Form(
        ZonePosterior,
        "zone posterior",
        check=_distributions,
    ),
    Form(Catalog, "catalog"),
    Form(
        Identities,
        "identities",
        check=_ordered_links,
    ),
    Form(
        Interactions,
        "interactions",
        take=_take_interactions,
        build=_build_interactions,
    ),
    Form(Requests, "requests"),
    Form(QualityReport, "quality report"),
    Form(
        Slots,
        "slots",
        check=_some_slots,
    ),
    Form(Vocabulary, "vocabulary", {"ids": Ids(people=True)}, take=lambda known: {"ids": known}, build=lambda ids: ids),
    Form(Finding, "finding"),
    *settings(LinkRules, ResolveReport, Weights),
)
