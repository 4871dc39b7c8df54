"""The check-list by hand, what is not known never shown as 0, and nobody recognised."""

import re

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import DataWarning, ParameterError, SchemaError
from omnireco.evaluation import scorecard
from omnireco.evaluation.cards.measures import GUIDE
from omnireco.evaluation.cards.periods import GROWING

DAY = pd.Timestamp("2025-05-01", tz="UTC")


def events(*rows, **columns):
    names = ["user_id", "item_id", "channel", "event", "hours", "value"]
    frame = pd.DataFrame(list(rows), columns=names)
    frame = frame.assign(timestamp=DAY + pd.to_timedelta(frame.pop("hours"), unit="h"), **columns)
    return om.EventLog.from_frame(frame, context=list(columns))


def value(card, key, channel=""):
    row = card.table[(card.table["key"] == key) & (card.table["channel"] == channel)]
    assert len(row) == 1, (key, channel)
    return row.iloc[0]


def test_nothing_known_is_nothing_measured_and_never_0():
    card = scorecard(om.Dataset())
    assert set(card.table["key"]) == set(GUIDE)
    assert card.table["status"].str.startswith("not measured: needs ").all()
    assert card.table[["value", "low", "high", "n_people", "before"]].isna().all().all()
    assert " 0.0%" not in card.to_html()
    assert repr(card) == "Scorecard(15 measures, 15 not measured, 0 worse, until )"


def test_journeys_and_freshness_by_hand():
    log = events(
        ("a", "tea", "web", "view", 0, None),
        ("a", "tea", "store", "purchase", 10, 5.0),
        ("b", "tea", "web", "view", 0, None),
        ("b", "tea", "web", "purchase", 30, 5.0),
        ("c", "cup", "web", "view", 480, None),
    )
    card = scorecard(om.Dataset(log, end=DAY + pd.Timedelta("20D") + pd.Timedelta("1h")), k=1, window="2D")
    assert value(card, "crossed")["value"] == 0.5
    assert value(card, "hand_over")["value"] == 10
    assert value(card, "fresh", "store")["value"] == pytest.approx(20 - 10 / 24 + 1 / 24)
    assert value(card, "fresh", "web")["value"] == pytest.approx(20 - 30 / 24 + 1 / 24)


def test_one_price_by_hand():
    log = events(
        ("a", "tea", "web", "offer", 0, 5.0),
        ("a", "tea", "store", "offer", 3, 6.0),  # differs on one day
        ("b", "tea", "web", "offer", 0, 5.0),
        ("b", "tea", "store", "offer", 3, 5.01),  # rounding
        ("c", "tea", "web", "offer", 0, 5.0),
        ("c", "tea", "store", "offer", 50, 9.0),  # another day: a change of price
        ("d", "tea", "web", "offer", 0, 5.0),
        ("d", "tea", "web", "offer", 3, 9.0),  # one channel
    )
    row = value(scorecard(om.Dataset(log), priced="offer", completes=["offer"], k=1), "one_price")
    assert row["value"] == 0.5
    assert row["n_people"] == 2
    assert value(scorecard(om.Dataset(log), k=1), "one_price")["status"].startswith("not measured: needs")


def test_one_offer_by_hand():
    log = events(
        ("a", "tea", "web", "view", 0, None),
        ("a", "tea", "app", "view", 1, None),
        ("b", "tea", "web", "view", 0, None),
        ("b", "tea", "app", "view", 1, None),
        offer_id=["x", "y", "x", "x"],
    )
    assert value(scorecard(om.Dataset(log), k=1), "one_offer")["value"] == 0.5


def sent(*rows):
    frame = pd.DataFrame(list(rows), columns=["user_id", "channel", "item_id", "hours", "gone"])
    at = DAY + pd.to_timedelta(frame["hours"], unit="h")
    return om.MessageLog.from_frame(
        pd.DataFrame(
            {
                "user_id": frame["user_id"],
                "channel": frame["channel"],
                "item_id": frame["item_id"],
                "sent_at": at,
                "responded_at": pd.Series([pd.NaT] * len(frame), dtype=at.dtype),
                "unsubscribed_at": (at + pd.Timedelta("1h")).where(frame["gone"]),
            }
        )
    )


def test_messages_by_hand():
    messages = sent(
        ("a", "email", "tea", 0, True),
        ("a", "email", "cup", 5, False),  # after the opt-out
        ("a", "push", "tea", 5, False),
        ("b", "email", "tea", 10, False),
        ("b", "email", "tea", 20, False),
    )
    out = pd.DataFrame(
        {
            "item_id": ["tea", "tea"],
            "since": [DAY + pd.Timedelta("4h"), DAY + pd.Timedelta("19h")],
            "until": [DAY + pd.Timedelta("6h"), pd.NaT],
        }
    )
    log = events(("a", "tea", "web", "view", -2, None), ("b", "tea", "web", "view", 8, None))
    card = scorecard(om.Dataset(log, messages=messages), stock_outs=out, k=1)
    assert value(card, "after_opt_out")["value"] == pytest.approx(1 / 5)
    assert value(card, "opt_out", "email")["value"] == pytest.approx(1 / 4)
    assert value(card, "opt_out", "push")["value"] == 0
    assert value(card, "stock_out")["value"] == pytest.approx(2 / 5)
    assert value(card, "lag")["value"] == pytest.approx(np.median([2, 7, 7, 2, 12]))
    assert value(card, "pressure")["value"] == pytest.approx(np.quantile([3, 2], 0.9))
    assert card.todo["measure"].iloc[0] == GUIDE["after_opt_out"].label


def test_consent_follows_withdrawals():
    people = om.Audience.from_frame(
        pd.DataFrame({"user_id": list("abcde"), "timezone": "UTC", "consent_email": [True] * 4 + [False]})
    )
    card = scorecard(om.Dataset(messages=sent(("a", "email", "tea", 0, True)), audience=people), k=1)
    row = value(card, "consent", "email")
    assert row["value"] == pytest.approx(3 / 5)
    assert row["low"] < 3 / 5 < row["high"]


def test_a_period_knows_what_was_withdrawn_before_it():
    people = [f"p{i}" for i in range(20)]
    log = events(*((one, "tea", "web", "view", hours, None) for one in people for hours in (1, 800, 1_440)))
    sent = pd.DataFrame(
        {
            "user_id": people * 2,
            "item_id": "tea",
            "channel": "email",
            "sent_at": [DAY] * 20 + [DAY + pd.Timedelta("40D")] * 20,
        }
    )
    gone = DAY + pd.Timedelta("1h")  # eight leave, and all twenty are written to again
    sent["responded_at"] = pd.to_datetime([None] * 40, utc=True)
    sent["unsubscribed_at"] = pd.to_datetime([gone] * 8 + [None] * 32, utc=True)
    users = pd.DataFrame({"user_id": people, "timezone": "UTC", "consent_email": True})
    data = om.Dataset(
        log,
        messages=om.MessageLog.from_frame(sent),
        audience=om.Audience.from_frame(users),
    )
    card = scorecard(data, every="29D")
    last = card.over_time[card.over_time["period_end"] == card.over_time["period_end"].max()].set_index(
        ["key", "channel"]
    )
    assert last.loc[("consent", "email"), "value"] == value(card, "consent", "email")["value"] == 0.6
    assert last.loc[("after_opt_out", ""), "value"] == 0.4


def test_identity_by_hand():
    links = pd.DataFrame(
        {"kind_a": ["card"] * 2, "id_a": ["k1", "k2"], "kind_b": ["cookie", "card"], "id_b": ["c1", "k3"]}
    )
    known = om.identity.Identities.from_links(links, trusted=["card"])
    log = events(
        ("c1", "tea", "web", "view", 0, None),
        ("k1", "tea", "store", "view", 1, None),
        ("zz", "tea", "web", "view", 2, None),
        ("k2", "tea", "store", "view", 3, None),
    )
    card = scorecard(om.Dataset(log, identities=known), k=1)
    assert value(card, "identified")["value"] == pytest.approx(3 / 4)
    assert value(card, "several_kinds")["value"] == pytest.approx(1 / 2)


@pytest.fixture(scope="module")
def world():
    return om.simulate(n_users=200, n_items=40, days=100, seed=5)


def test_nothing_is_about_fewer_than_k_people(world):
    data = world.dataset()
    people = world.users["user_id"]
    few = pd.DataFrame(
        {
            "user_id": people,
            "segment": np.where(np.arange(len(people)) < 3, "board", np.where(np.arange(len(people)) % 2, "x", "y")),
        }
    )
    card = scorecard(data, segments=few, every="28D")
    for table in (card.segments, card.over_time):
        assert not (table["n_people"] < 5).any()
        assert table.loc[table["n_people"].isna(), "value"].isna().all()
    # three people alone would follow from the whole less the others: another segment is hidden with them
    hidden = card.segments[card.segments["value"].isna()].groupby(["key", "channel"])["segment"].nunique()
    assert (hidden >= 2).all()
    assert len(hidden)
    assert not (scorecard(data, k=100_000).table["value"].notna()).any()
    assert "hidden" in set(scorecard(data, k=100_000).table["status"])


@pytest.mark.parametrize(("gone", "shown"), [(0, True), (1, False), (5, True), (296, False), (300, True)])
def test_one_of_many_is_not_singled_out(gone, shown):
    """A share whose smaller side is 1 to 4 people is about these people, whatever stands on the other side."""
    people = np.arange(300)
    left = pd.Series(DAY + pd.Timedelta("1h"), index=people).where(people < gone)
    frame = pd.DataFrame({"user_id": people, "channel": "email", "sent_at": DAY, "unsubscribed_at": left})
    frame["responded_at"] = pd.Series(pd.NaT, index=people, dtype=left.dtype)
    sent = pd.concat([frame, frame.assign(sent_at=DAY + pd.Timedelta("2D"), unsubscribed_at=frame["responded_at"])])
    segments = pd.DataFrame(
        {"user_id": people, "segment": np.where(people < 150, "x", np.where(people < 290, "y", "z"))}
    )
    card = scorecard(om.Dataset(messages=om.MessageLog.from_frame(sent)), segments=segments)
    for key, channel in (("opt_out", "email"), ("after_opt_out", "")):
        row = value(card, key, channel)
        assert np.isnan(row["value"]) != shown
        assert row["status"] == ("measured" if shown else "hidden: fewer than 5 people make the difference")
        part = card.segments[card.segments["key"] == key]
        assert int(part["value"].isna().sum()) == (0 if shown else 2)  # one, and another from which it would follow
    todo = set(card.todo["measure"])
    assert ("Messages sent to people after they opted out of the channel" in todo) == (gone > 0)


def test_segments_whose_last_event_lies_before_the_last_message(world):
    """A part of the people ends when the whole does, not with their own last event."""
    data = world.dataset()
    late = data.messages.sent_at.max()
    early = data.events.users.ids[
        np.isin(
            np.arange(data.events.n_users), data.events.user[data.events.at > late - 10 * 86_400_000_000], invert=True
        )
    ]
    segments = pd.DataFrame({"user_id": data.events.users.ids}).assign(
        segment=lambda frame: np.where(frame["user_id"].isin(early), "gone", "here")
    )
    parts = scorecard(data, segments=segments, every="28D", k=1).segments
    assert parts["segment"].nunique() == (2 if len(early) else 1)
    days = parts[(parts["key"] == "fresh") & (parts["segment"] == "here")]
    assert (days["value"] >= 0).all()


def test_earlier_data_says_what_is_better(world):
    data = world.dataset()
    card = scorecard(data, compare=data.before("2025-03-01"))
    for row in card.table[card.table["trend"].isin(["better", "worse"])].itertuples():
        more = row.value > row.before
        assert (row.trend == "better") == (more == (GUIDE[row.key].better == "more"))
    with pytest.raises(ParameterError, match="must end before the data"):
        scorecard(data, compare=data)


def test_the_page_is_escaped_and_names_nobody(world):
    frame = world.events.assign(channel=world.events["channel"].replace("web", "<script>x</script>"))
    frame["user_id"] = "person-" + frame["user_id"].astype(str)
    segments = pd.DataFrame({"user_id": frame["user_id"].unique()}).assign(segment="<b>bold</b>")
    card = scorecard(om.Dataset(om.EventLog.from_frame(frame)), segments=segments, every="28D")
    page = card.to_html()
    assert "<script>" not in page
    assert "<b>bold</b>" not in page
    assert "person-" not in page + repr(card) + card.table.to_string() + card._repr_html_()
    assert "What to do next" in page
    assert not re.search(r"\bnan\b", page)


def test_a_compared_card_equals_a_card_of_then(world):
    data = world.dataset()
    then = scorecard(data.before("2025-03-01")).table.set_index(["key", "channel"])["value"]
    now = scorecard(data, compare=data.before("2025-03-01")).table.set_index(["key", "channel"])["before"]
    both = now.dropna().index
    assert now[both].to_numpy() == pytest.approx(then[both].to_numpy())


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({"priced": "no"}, ParameterError, "priced names 1 event"),
        ({"completes": ["no"]}, ParameterError, "completes names 1 event"),
        ({"k": 0}, ParameterError, "k"),
        ({"every": "900D"}, ParameterError, "Take shorter ones"),
        ({"segments": pd.DataFrame({"user_id": ["u", "u"], "segment": ["a", "b"]})}, SchemaError, "people twice"),
        (
            {"stock_outs": pd.DataFrame({"item_id": ["i01"], "since": [DAY], "until": [DAY]})},
            SchemaError,
            "ends before it begins",
        ),
        ({"compare": 3}, ParameterError, "compare"),
    ],
)
def test_wrong_questions(world, how, error, words):
    with pytest.raises(error, match=words):
        scorecard(world.dataset(), **how)


def test_two_periods_of_one_length_are_compared(world):
    earlier, later = (later for _, later in world.dataset().rolling(horizon="21D", n=2))
    table = scorecard(later, compare=earlier).table.set_index(["key", "channel"])
    then = scorecard(earlier).table.set_index(["key", "channel"])["value"]
    assert table.loc[("fresh", "web"), "before"] == pytest.approx(then["fresh", "web"])
    assert table.loc[("fresh", "web"), "trend"] in ("better", "worse", "same")


def test_periods_of_unequal_length_have_no_trend_of_what_grows(world):
    """In 80 days more people have five events than in 20, and that is no decline."""
    past, later = world.dataset().split("2025-03-27")
    with pytest.warns(DataWarning, match=r"days long and compare= 80: measures that grow .* equal length"):
        card = scorecard(later, compare=past)
    told = card.table[card.table["trend"] != ""]
    assert not set(told["key"]) & set(GROWING)
    assert "pressure" in set(told["key"])  # messages a week can be compared
    assert card.table.loc[card.table["key"] == "fresh", "before"].notna().any()


def test_periods_that_overlap_are_refused(world):
    data = world.dataset()
    one, other = data.split("2025-02-03").later, data.split("2025-01-20", horizon="30D").later
    with pytest.raises(ParameterError, match=r"compare= shares 16 of its 30 days with the data"):
        scorecard(one, compare=other)


def test_other_people_are_no_earlier_state(world):
    data = world.dataset()
    earlier, later = (later for _, later in data.rolling(horizon="21D", n=2))
    frame = world.events.assign(user_id=world.events["user_id"] + 1_000_000)
    strangers = om.Dataset(om.EventLog.from_frame(frame)).before(earlier.end)
    with pytest.raises(ParameterError, match=r"people in compare= none is in the data"):
        scorecard(later, compare=strangers)
    half = world.events["user_id"] % 4 > 0
    mixed = pd.concat([frame[half], world.events[~half]])
    with pytest.warns(DataWarning, match=r"only \d+% of the people on the smaller side are in both"):
        scorecard(data, compare=om.Dataset(om.EventLog.from_frame(mixed)).before(earlier.end))
