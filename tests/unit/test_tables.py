"""What a plan shows: one person, load, reach and frequency, offers; as tables and as pictures."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.data import Audience, Dataset
from omnireco.errors import ParameterError, SchemaError, UnknownIdError
from omnireco.planning import Budget, Candidates, Capacity, FrequencyCap, offer_audit, plan

START = pd.Timestamp("2025-06-01", tz="UTC")


def frame(**more):
    hours = [9, 10, 9, 9, 34, 10]
    rows = {
        "user_id": [1, 1, 2, 3, 3, 3],
        "item_id": ["tea", "cup", "tea", "tea", "tea", "cup"],
        "channel": ["push", "email", "push", "push", "push", "email"],
        "send_at": [START + pd.Timedelta(hours=h) for h in hours],
        "value": [5.0, 4.0, 3.0, 2.0, 1.0, -1.0],
    }
    return pd.DataFrame(rows | more)


def made(*rules, **more):
    return plan(Candidates.from_frame(frame(**more)), constraints=rules)


def test_why_has_every_touch_of_one_person():
    table = made(Capacity("push", limit=1), FrequencyCap(1, per="7D")).why(3)
    assert table["reason"].iloc[0] in ("Capacity('push', per='1h')", "FrequencyCap(1, per='7D')")
    assert table["reason"].tolist()[1:] == ["no value", "sent"]
    assert table["value"].tolist() == [2.0, -1.0, 1.0]
    assert table["reduced_value"].iloc[1] < 0
    assert set(table["user_id"]) == {3}
    with pytest.raises(UnknownIdError) as error:
        made().why(424242)
    assert "424242" not in str(error.value)


def test_reduced_values_are_values_less_prices():
    best = made(Budget("push", cost=1, total=2))
    price = best.prices.loc[0, "price"]
    push = (best.touches.touches.channels.ids == "push").argmax() == best.touches.touches.channel
    np.testing.assert_allclose(best.reduced, best.touches.value - price * push)


def test_load_beside_capacity():
    best = made(Capacity("push", limit=2))
    table = best.load()
    push = table[table["channel"] == "push"]
    assert push["sends"].tolist() == [2, 1]
    assert push["capacity"].tolist() == [2.0, 2.0]
    assert push["price"].iloc[0] == pytest.approx(2.0, abs=1.01)
    assert push["start_at"].tolist() == [START + pd.Timedelta("9h"), START + pd.Timedelta("34h")]
    assert table[table["channel"] == "email"]["capacity"].isna().all()
    days = best.load(per="1D")
    assert days["sends"].sum() == len(best)
    assert days["capacity"].isna().all()
    none = plan(Candidates.from_frame(frame().iloc[:0])).load()
    assert none.columns.tolist() == ["channel", "start_at", "sends", "capacity", "price"]


def test_reach_and_frequency_hide_few():
    best = made(FrequencyCap(1, per="7D"))
    table = best.reach(k=1)
    every = table[table["channel"] == "all"]
    assert every["people"].tolist() == [0.0, 3.0]
    assert every["share"].sum() == pytest.approx(1.0)
    hidden = best.reach()
    assert hidden["people"].dropna().isin([0.0]).all()
    big = plan(
        Candidates.from_frame(
            pd.DataFrame(
                {"user_id": np.arange(50), "item_id": "tea", "channel": "push", "send_at": START, "value": 1.0}
            )
        )
    )
    assert big.reach()["people"].tolist() == [0.0, 50.0, 0.0, 50.0]


def test_offers_are_audited():
    best = made(offer_id=["10 %", "10 %", "10 %", "20 %", "10 %", None])
    table = offer_audit(best, k=1).set_index("item_id")
    assert table.loc["tea", ["sends", "people", "offers", "people_with_several"]].tolist() == [4, 3, 2, 1]
    assert table.loc["cup", "offers"] == 1
    assert offer_audit(best)["people"].isna().all()
    with pytest.raises(SchemaError, match="no offer_id"):
        offer_audit(made())
    with pytest.raises(ParameterError, match=r"offer_audit takes a Plan\. Got int"):
        offer_audit(3)


def test_pictures():
    pytest.importorskip("matplotlib", reason='matplotlib is not installed: pip install "omnireco[demo]"')
    from omnireco import plotting

    people = Audience.from_frame(
        pd.DataFrame({"user_id": [1, 2, 3], "timezone": "Asia/Tokyo", "consent_push": True, "consent_email": True})
    )
    best = plan(Candidates.from_frame(frame(), Dataset(audience=people)), constraints=[Capacity("push", limit=2)])
    ax = plotting.plan_load(best, "push")
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {"messages", "at capacity", "capacity"}
    with pytest.raises(ParameterError, match="It uses email, push"):
        plotting.plan_load(best, "sms")
    ax = plotting.plan_reach(best, k=1)
    assert len(ax.get_yticklabels()) == 3
    ax = plotting.person_week(best, 3)
    assert "their own clock" in ax.get_title(loc="left")
    assert [text.get_text() for text in ax.texts] == ["tea"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Sun 1 Jun", "Mon 2 Jun"]
    assert "UTC" in plotting.person_week(made(), 3).get_title(loc="left")
    far = frame(send_at=[START + pd.Timedelta(days=d) for d in (0, 1, 0, 0, 40, 1)])
    with pytest.raises(ParameterError, match="draws at most 31 days"):
        plotting.person_week(plan(Candidates.from_frame(far)), 3)
    with pytest.raises(UnknownIdError):
        plotting.person_week(best, 99)
    with pytest.raises(ParameterError, match="plan must be a Plan"):
        plotting.plan_why(best.to_frame(), 3)
    with pytest.raises(UnknownIdError):
        plotting.plan_why(best, 99)
    ax = plotting.plan_why(best, 3)
    table = best.why(3)
    assert ax.get_title(loc="left") == f"Why: {(table['reason'] == 'sent').sum()} message sent"
    assert [text.get_text() for text in ax.texts] == table.nlargest(24, "value")["reason"].tolist()[::-1]
    assert sorted(bar.get_width() for bar in ax.containers[0]) == pytest.approx(sorted(table["value"]))
    many = frame().iloc[[0] * 30].assign(send_at=START + pd.to_timedelta(range(30), unit="h"), value=range(1, 31))
    ax = plotting.plan_why(plan(Candidates.from_frame(many)), many["user_id"].iloc[0])
    assert "the best 24 of 30" in ax.get_title(loc="left")
    assert "too few to show" in {text.get_text() for text in plotting.plan_reach(best).get_legend().get_texts()}
    from matplotlib import pyplot

    pyplot.close("all")


def test_few_people_with_several_offers_are_not_counted():
    wide = pd.concat([frame(offer_id="10 %").assign(user_id=lambda t, i=i: t["user_id"] + 10 * i) for i in range(4)])
    wide = wide.assign(item_id="tea")
    assert offer_audit(plan(Candidates.from_frame(wide)))["people_with_several"].tolist() == [0.0]
    wide.loc[wide.index[-1:], "offer_id"] = "20 %"
    two = plan(Candidates.from_frame(wide.assign(value=1.0)))
    table = offer_audit(two)
    assert table["people"].notna().all()
    assert 0 < offer_audit(two, k=1)["people_with_several"].iloc[0] < 5
    assert table["people_with_several"].isna().all()
    assert om.planning.offer_audit is offer_audit
