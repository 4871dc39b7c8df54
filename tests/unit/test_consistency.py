"""What was shown, against what was promised."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import ParameterError, SchemaError
from omnireco.planning import OfferLedger, Offers, consistency

OFFERS = Offers.from_frame(pd.DataFrame({"offer_id": ["a", "b"], "price": [9.0, 8.0]}))
LEDGER = OfferLedger.from_frame(
    pd.DataFrame({"user_id": [1, 2, 3], "offer_id": ["a", "b", "a"]}), OFFERS, start="2025-06-01", until="2025-06-10"
)
SHOWN = pd.DataFrame(
    [
        (1, "web", "2025-06-02", "a", 9.0),  # as promised
        (1, "call", "2025-06-03", "a", 9.004),  # rounding
        (1, "branch", "2025-06-04", "a", 8.0),  # another price
        (2, "web", "2025-06-02", "a", 9.0),  # another offer
        (2, "web", "2025-06-03", None, np.nan),  # none, where one is promised
        (3, "web", "2025-06-10", "a", 9.0),  # half-open: it has ended
        (3, "web", "2025-05-31", "a", 9.0),  # it has not begun
        (4, "web", "2025-06-02", "a", 9.0),  # nobody promised anything
    ],
    columns=["user_id", "channel", "shown_at", "offer_id", "price"],
).assign(shown_at=lambda f: pd.to_datetime(f["shown_at"], utc=True))


def test_each_verdict():
    audit = consistency(LEDGER, SHOWN, k=1)
    assert audit.verdict.tolist() == [0, 0, 2, 1, 1, 3, 3, 4]
    table = audit.to_frame().set_index("channel")
    assert table.loc["web", "shown"] == 6
    assert table.loc["web"].tolist() == [6, 1, 2, 0, 2, 1]
    assert table.loc["branch", "other_price"] == 1
    assert (audit.saw_two, audit.people) == (2, 4)


def test_small_cells_are_hidden():
    table = consistency(LEDGER, SHOWN).to_frame()
    assert table["as_promised"].isna().sum() == 2
    assert table["other_offer"].tolist().count(0) == 2


def test_prices_may_be_left_out_and_order_does_not_matter():
    audit = consistency(LEDGER, SHOWN.drop(columns="price").sample(frac=1.0, random_state=1))
    assert np.bincount(audit.verdict, minlength=5).tolist() == [3, 2, 0, 2, 1]


def test_all_that_a_ledger_renders_is_as_promised():
    page = LEDGER.render([1, 2, 3] * 4, at="2025-06-05")
    shown = page.assign(channel=["web", "app", "call", "branch"] * 3, shown_at=pd.Timestamp("2025-06-05", tz="UTC"))
    audit = consistency(LEDGER, shown)
    assert set(audit.verdict) == {0}
    assert audit.saw_two == 0


def test_of_segments():
    ledger = OfferLedger.from_frame(
        pd.DataFrame({"segment": ["gold"], "offer_id": ["a"]}), OFFERS, start="2025-06-01", by="segment"
    )
    frame = pd.DataFrame({"user_id": [1, 2], "timezone": "UTC", "segment": ["gold", "blue"]})
    people = om.Audience.from_frame(frame, attributes=["segment"])
    shown = SHOWN[SHOWN.user_id < 3]
    assert consistency(ledger, shown, audience=people).verdict.tolist() == [0, 0, 2, 4, 4]


def test_nothing_shown():
    audit = consistency(LEDGER, SHOWN.iloc[:0])
    assert audit.to_frame().empty
    assert repr(audit) == "OfferAudit(0 shown to 0 people, none as promised, 0 people saw two offers)"


def test_ids_of_another_kind():
    with pytest.raises(SchemaError):
        consistency(LEDGER, SHOWN.assign(user_id=SHOWN["user_id"].astype(str)))


def test_no_small_cell_follows_from_the_total_of_its_channel():
    """With one cell missing, the total gave it away."""
    table = pd.DataFrame({"user_id": range(60), "offer_id": "a"})
    ledger = om.planning.OfferLedger.from_frame(table, om.planning.Offers.from_frame(
        pd.DataFrame({"offer_id": ["a", "b"], "price": [9.0, 8.0]})), start="2025-06-01")  # fmt: skip
    shown = table.assign(channel=["web"] * 58 + ["call"] * 2, shown_at=pd.Timestamp("2025-06-03", tz="UTC"), price=9.0)
    shown.loc[:2, "offer_id"] = "b"
    audit = om.planning.consistency(ledger, shown)
    found = audit.to_frame().set_index("channel")
    assert found.loc["web", "shown"] == 58
    assert found.loc["web", ["other_offer", "as_promised"]].isna().all()
    assert np.isnan(found.loc["call", "shown"])
    pytest.importorskip("matplotlib", reason='matplotlib is not installed: pip install "omnireco[demo]"')
    from matplotlib import pyplot

    from omnireco import plotting

    ax = plotting.offers_shown(audit)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["too few to show"]
    ax = plotting.offers_shown(om.planning.consistency(ledger, shown, k=1))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["as promised", "other offer"]
    assert sum(bar.get_width() for bar in ax.patches) == pytest.approx(2.0)
    with pytest.raises(ParameterError, match="audit must be a"):
        plotting.offers_shown(audit.to_frame())
    with pytest.raises(ParameterError, match="nothing was shown"):
        plotting.offers_shown(om.planning.consistency(ledger, shown[:0]))
    pyplot.close("all")
