"""A promise holds on every channel until it ends."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import ParameterError
from omnireco.planning import OfferLedger, Offers, OneOffer, Promised

AT = pd.Timestamp("2025-06-02 10:00", tz="UTC")
OFFERS = Offers.from_frame(
    pd.DataFrame(
        {
            "offer_id": ["loan 4 %", "loan 5 %"],
            "price": [4.0, 5.0],
            "lift": [1.5, 1.0],
            "valid_until": [pd.Timestamp("2025-06-20", tz="UTC"), pd.NaT],
        }
    )
)


def ledger(whom=("ann", "bob"), offer=("loan 4 %", "loan 5 %"), start="2025-06-01", until="2025-07-01", by="user_id"):
    return OfferLedger.from_frame(
        pd.DataFrame({by: list(whom), "offer_id": list(offer)}), OFFERS, start=start, until=until, by=by
    )


def people():
    frame = pd.DataFrame({"user_id": ["ann", "bob", "cid"], "timezone": "UTC", "segment": ["gold", "blue", None]})
    frame[["consent_push", "consent_call"]] = True
    return om.Audience.from_frame(frame, attributes=["segment"])


def touches():
    n = 6
    frame = pd.DataFrame({"user_id": ["ann", "bob", "cid"] * 2, "channel": ["push"] * 3 + ["call"] * 3, "value": 1.0})
    frame["item_id"] = [f"i{i}" for i in range(n)]
    frame = frame.assign(send_at=AT, probability=0.5)
    return om.planning.Candidates.from_frame(frame, om.Dataset(audience=people()))


def test_what_is_planned_is_promised_and_every_channel_reads_the_same():
    best = om.plan(touches().with_offers(OFFERS), constraints=[OneOffer()])
    kept = OfferLedger.of(best, OFFERS, start="2025-06-01", until="2025-07-01")
    assert len(kept) == 3
    assert kept.render(["cid", "ann"], at="2025-06-10")["price"].tolist() == [4.0, 4.0]
    late = kept.render(["ann", "zoe"], at="2025-06-20")  # the offer has ended; zoe was promised nothing
    assert late["offer_id"].isna().all()
    assert np.isnan(late["price"]).all()


@pytest.mark.parametrize("by", ["user_id", "segment"])
def test_a_plan_that_sends_nothing_promises_nothing(by):
    """A daily job on a quiet day: it was told that its touches carry no offers, which they do."""
    none = om.plan(touches().with_offers(OFFERS), constraints=[OneOffer(by), om.FrequencyCap(0)])
    kept = OfferLedger.of(none, OFFERS, start="2025-06-01", by=by)
    assert len(kept) == 0
    assert kept.to_frame().empty
    shown = kept.render(["ann"], at="2025-06-02", audience=people())
    assert shown["offer_id"].isna().all()
    with pytest.raises(ParameterError, match="no touch of this plan carries an offer"):
        OfferLedger.of(om.plan(touches(), constraints=[om.FrequencyCap(0)]), OFFERS, start="2025-06-01")


def test_of_segments():
    best = om.plan(touches().with_offers(OFFERS), constraints=[OneOffer("segment")])
    kept = OfferLedger.of(best, OFFERS, start="2025-06-01", until="2025-06-15", by="segment")
    assert sorted(kept.to_frame()["segment"]) == ["blue", "gold"]
    shown = kept.render(["ann", "cid", "bob"], at="2025-06-03", audience=people())
    assert shown["offer_id"].isna().tolist() == [False, True, False]
    with pytest.raises(ParameterError, match="this ledger is by 'segment', which the audience must name"):
        kept.render(["ann"], at="2025-06-03")


def test_two_offers_for_one_are_refused():
    both = om.plan(touches().with_offers(OFFERS).with_columns(pd.DataFrame({"user_id": ["ann"], "note": ["x"]})))
    frame = both.to_frame()
    frame["offer_id"] = ["loan 4 %", "loan 5 %"] * 3
    two = om.plan(om.planning.Candidates.from_frame(frame.drop(columns="send_at_local"), om.Dataset(audience=people())))
    if two.to_frame().groupby("user_id")["offer_id"].nunique().max() > 1:
        with pytest.raises(
            ParameterError, match=r"than one for each would be promised. Plan under om.planning.OneOffer\(\)"
        ):
            OfferLedger.of(two, OFFERS, start="2025-06-01")
    with pytest.raises(ParameterError, match="no touch of this plan carries an offer"):
        OfferLedger.of(om.plan(touches()), OFFERS, start="2025-06-01")
    with pytest.raises(ParameterError, match="1 promise would stand beside another one that is still in force"):
        ledger(whom=("ann", "ann"))


def test_a_ledger_is_only_added_to():
    first = ledger(until="2025-06-10")
    again = first.append(first)
    assert again.fingerprint == first.fingerprint
    later = first.append(ledger(offer=("loan 5 %", "loan 4 %"), start="2025-06-10"))
    assert later.render(["ann"], at="2025-06-12")["price"].tolist() == [5.0]
    assert later.render(["ann"], at="2025-06-09")["price"].tolist() == [4.0]
    assert later.fingerprint != first.fingerprint
    with pytest.raises(ParameterError, match="would stand beside another one"):
        first.append(ledger(offer=("loan 5 %", "loan 4 %"), start="2025-06-05"))
    with pytest.raises(ParameterError, match="Keep two ledgers"):
        first.append(ledger(whom=("gold", "blue"), by="segment"))


def test_names_and_rows_in_another_order_are_the_same_ledger():
    assert ledger().fingerprint == ledger(whom=("bob", "ann"), offer=("loan 5 %", "loan 4 %")).fingerprint


def test_a_promise_in_force_binds_the_next_plan():
    found = touches().with_offers(OFFERS, eligibility=[Promised(ledger())]).to_frame()
    assert set(found[found.user_id == "ann"]["offer_id"]) == {"loan 4 %"}
    assert set(found[found.user_id == "bob"]["offer_id"]) == {"loan 5 %"}
    assert set(found[found.user_id == "cid"]["offer_id"]) == {"loan 4 %", "loan 5 %"}
    gone = touches().with_offers(OFFERS, eligibility=[Promised(ledger(until="2025-06-02"))])
    assert len(gone) == 12
    of_segments = Promised(ledger(whom=("gold", "blue"), by="segment"))
    some = touches().with_offers(OFFERS, eligibility=[of_segments]).to_frame()
    assert some.groupby("user_id")["offer_id"].nunique().tolist() == [1, 1, 2]


def test_an_offer_that_cannot_be_had_in_the_period():
    with pytest.raises(ParameterError, match="1 offer cannot be had in this period"):
        ledger(start="2025-06-21")
    with pytest.raises(ParameterError, match="1 offer of the frame are not among the offers"):
        ledger(offer=("loan 4 %", "loan 9 %"))
    with pytest.raises(ParameterError, match="until must be after start"):
        ledger(until="2025-05-01")
