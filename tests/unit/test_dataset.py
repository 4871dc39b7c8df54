"""One value for what is known: cuts of every part, kinds of ids, ends, and what is refused."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.data.asking.requests import Asked
from omnireco.data.dataset import dataset_of
from omnireco.errors import EmptyError, IdKindError, OmnirecoError, ParameterError, SchemaError
from omnireco.testing import check_no_leak, differences, small_data

WORLD = om.simulate(n_users=60, n_items=20, days=60, seed=1)
LOG = om.EventLog.from_frame(WORLD.events)
SENT = om.MessageLog.from_frame(WORLD.messages)
PEOPLE = om.Audience.from_frame(WORLD.users)
DATA = om.Dataset(LOG, messages=SENT, audience=PEOPLE)
CUT = "2025-02-10"
AT = pd.Timestamp(CUT, tz="UTC")


def us(when):
    return int(pd.Timestamp(when, tz="UTC").timestamp() * 1_000_000)


def test_one_cut_holds_for_every_part():
    past, later = DATA.split(CUT, horizon="5D")
    assert past.end == later.events.start == AT
    assert later.end == AT + pd.Timedelta("5D")
    assert (past.events.at < us(CUT)).all()
    assert (past.messages.sent_at < us(CUT)).all()
    answered = past.messages.responded_at
    assert (answered[past.messages.responded] < us(CUT)).all()
    assert (later.events.at >= us(CUT)).all()
    assert (later.events.at < us(CUT) + 5 * 86_400_000_000).all()
    assert (later.messages.sent_at >= us(CUT)).all()
    whole = past.messages.responded.sum() + later.messages.responded.sum()
    assert whole <= SENT.responded.sum()  # an answer that came after the cut belongs to neither
    assert set(later.events.users.ids) == set(LOG.between(CUT, "2025-02-15").users.ids)


def test_what_lies_exactly_at_the_cut_comes_later():
    first = np.take(LOG.at, len(LOG) // 2)
    past, later = DATA.split(pd.Timestamp(int(first), unit="us", tz="UTC"))
    assert past.events.at.max() < first == later.events.at.min()


def test_a_gap_ends_the_past_earlier():
    past, later = DATA.split(CUT, embargo="3D")
    assert past.end == AT - pd.Timedelta("3D")
    assert later.events.start == AT


def test_rolling_windows_do_not_overlap_and_end_at_the_end():
    cuts = DATA.rolling(horizon="10D", n=3)
    assert cuts[-1].later.end == DATA.end
    for one, two in itertools.pairwise(cuts):
        assert one.later.end == two.past.end
        assert len(one.past.events) < len(two.past.events)
    assert sum(len(cut.later.events) for cut in cuts) == len(LOG.between(cuts[0].past.end, DATA.end))
    with pytest.raises(EmptyError, match="choose a cut inside them"):
        DATA.rolling(horizon="30D", n=9)


def test_consent_of_a_later_date_was_not_known():
    frame = WORLD.users.assign(consent_email=True, consent_email_at=pd.Timestamp("2025-01-01", tz="UTC"))
    frame.loc[frame.index[:5], "consent_email_at"] = AT
    frame.loc[frame.index[5:9], "consent_email_at"] = AT - pd.Timedelta("1us")
    data = om.Dataset(LOG, audience=om.Audience.from_frame(frame))
    past, later = data.split(CUT)
    column = list(past.audience.channels.ids).index("email")
    assert past.audience.consent[:, column].tolist() == [False] * 5 + [True] * 55
    assert later.audience.consent[:, column].all()


def test_a_link_of_a_later_date_joins_nobody_before_it():
    days = pd.to_datetime(["2025-01-01", "2025-01-05", "2025-01-09"], utc=True)
    log = om.EventLog.from_frame(
        pd.DataFrame({"user_id": ["c1", "m1", "c1"], "item_id": list("abc"), "channel": "web", "event": "view",
                      "timestamp": days})
    )  # fmt: skip
    link = pd.DataFrame({"kind_a": ["id"], "id_a": ["c1"], "kind_b": ["id"], "id_b": ["m1"],
                         "linked_at": pd.to_datetime(["2025-01-07"], utc=True)})  # fmt: skip
    identities = om.identity.Identities.from_links(link)
    data = om.Dataset(log, identities=identities)
    assert data.events.n_users == 1
    past = data.before("2025-01-06")
    assert past.events.n_users == 2
    check_no_leak(om.ItemKNN(), data, "2025-01-06")
    both = data.split("2025-01-08")
    assert both.past.events.n_users == 1  # the link was known by then


def test_requests_are_those_of_the_people_behind_the_ids():
    """A request under a cookie was that of nobody with a past: the ranker learned it from an empty history."""
    people = LOG.users.ids
    frame = WORLD.events.assign(user_id=WORLD.events["user_id"].astype(str))
    moved = frame.index % 2 == 1
    frame.loc[moved, "user_id"] = "cookie-" + frame.loc[moved, "user_id"]
    links = pd.DataFrame({"kind_a": "card", "id_a": people.astype(str), "kind_b": "cookie",
                          "id_b": [f"cookie-{one}" for one in people]})  # fmt: skip
    links["linked_at"] = pd.Timestamp("2025-02-01", tz="UTC")
    log = om.EventLog.from_frame(frame)
    identities = om.identity.Identities.from_links(links, trusted=["card"])
    asked = om.Requests.from_log(log, context=["channel"])
    data = om.Dataset(log, identities=identities, asked=asked)
    assert set(data.asked.requests.users.ids) <= set(data.events.users.ids)
    past, later = data.split(CUT)
    assert set(past.asked.requests.users.ids) <= set(past.events.users.ids) == set(people.astype(str))
    assert set(later.asked.requests.users.ids) <= set(later.events.users.ids)
    early = data.before("2025-01-20")
    assert any(one.startswith("cookie") for one in early.asked.requests.users.ids)  # nobody knew yet who they are
    check_no_leak(om.Ranker(models=[om.Popularity()], ranker="logit", n_requests=50, n_candidates=5), data, CUT)


def test_requests_that_were_made_are_cut_too():
    asked = om.Requests.from_log(LOG, context=["channel"])
    past, later = om.Dataset(LOG, asked=asked).split(CUT)
    assert (past.asked.requests.at < us(CUT)).all()
    assert (later.asked.requests.at >= us(CUT)).all()
    assert len(past.asked.requests) + len(later.asked.requests) == len(asked.requests)
    assert past.asked.chosen.n_users == len(past.asked.requests)


def test_fits_know_nothing_from_behind_the_cut():
    for estimator in (om.ALS(factors=3, weights=om.Weights(half_life="9D")), om.EASE(), om.models.SessionKNN()):
        check_no_leak(estimator, DATA, CUT)

    class LooksAhead:
        """Learns every other time from the whole log, whatever it is given."""

        calls = 0

        def fit(self, data):
            LooksAhead.calls += 1
            return om.Popularity(by="weight").fit(LOG if LooksAhead.calls % 2 else data)

    with pytest.raises(AssertionError, match=r"check_no_leak: LooksAhead learns another PopularityModel"):
        check_no_leak(LooksAhead(), DATA, CUT)


def test_ages_are_counted_to_the_end_of_the_data():
    later = om.Dataset(LOG, end=pd.Timestamp(LOG.end) + pd.Timedelta("20D"))
    weights = om.Weights(half_life="10D")
    old, new = om.Dataset(LOG).matrix(weights), later.matrix(weights)
    np.testing.assert_allclose(new.csr.data, old.csr.data / 4, rtol=1e-5)
    model = om.ALS(factors=3, weights=weights).fit(later)
    assert model.inputs(later).csr.data.tolist() == new.csr.data.tolist()
    typed = om.models.TypedEASE(input_half_life="10D").fit(later)
    np.testing.assert_allclose(typed.inputs(later).csr.data.sum(), typed.inputs(LOG).csr.data.sum() / 4, rtol=1e-4)
    tent = pd.DataFrame({"user_id": [1, 1], "item_id": ["tent", "mat"], "channel": "web", "event": "purchase",
                         "timestamp": pd.to_datetime(["2025-01-01", "2025-01-05"], utc=True)})  # fmt: skip
    with pytest.raises(EmptyError, match="nothing can have"):
        om.journeys.FollowUps(within="30D").fit(om.Dataset(tent))
    assert len(om.journeys.FollowUps(within="30D").fit(om.Dataset(tent, end="2025-03-01")).item) == 1


def test_messages_past_the_end_of_cut_events_are_refused():
    with pytest.raises(ParameterError, match=r"498 of 900 were sent later.*om.Dataset\(log, messages=sent\).split"):
        om.Dataset(LOG.before("2025-02-01"), messages=SENT)
    with pytest.raises(ParameterError, match="900 of 900 were sent later"):
        om.Dataset(LOG.before("2020-01-01"), messages=SENT)  # a cut before the first event is a cut
    with pytest.raises(ParameterError, match="requests in asked= were made after the end"):
        om.Dataset(LOG.before("2020-01-01"), asked=om.Requests.from_log(LOG))
    kept = om.Dataset(LOG.before("2025-02-01"), messages=SENT.before("2025-02-01"))
    assert differences(om.ItemKNN().fit(kept), om.ItemKNN().fit(DATA.before("2025-02-01"))) == []


def test_requests_past_the_end_of_cut_events_are_refused():
    asked = om.Requests.from_log(LOG)
    with pytest.raises(ParameterError, match=r"requests in asked= were made after the end.*asked=asked\).split"):
        om.Dataset(LOG.before("2025-02-01"), asked=asked)
    rows = np.flatnonzero(asked.requests.at < us("2025-02-01"))
    kept = Asked(asked.requests.take(rows), asked.chosen.take(rows))
    assert len(om.Dataset(LOG.before("2025-02-01"), asked=kept).asked.requests) == rows.size


TEXT = WORLD.users.assign(user_id=WORLD.users["user_id"].astype(str))
PARTS = {
    "audience": om.Audience.from_frame(TEXT),
    "messages": om.MessageLog.from_frame(WORLD.messages.assign(user_id=WORLD.messages["user_id"].astype(str))),
    "catalog": om.Catalog.from_frame(pd.DataFrame({"item_id": [1, 2], "category": "a"})),
    "attributes": om.Interactions.from_frame(pd.DataFrame({"user_id": ["a"], "item_id": ["x"]})),
}


@pytest.mark.parametrize("part", PARTS)
def test_ids_of_two_kinds_never_meet_and_are_refused_when_it_is_made(part):
    line = r"\['item_id'\].astype\(str\)" if part == "catalog" else r"\['user_id'\].astype\(str\)"
    with pytest.raises(IdKindError, match=rf"The ids of {part} are .*, those of events are .*{line}"):
        om.Dataset(LOG, **{part: PARTS[part]})


@pytest.mark.parametrize(
    ("parts", "error", "says"),
    [
        ({"events": [1]}, SchemaError, "events must be an EventLog. Got list"),
        ({"events": SENT}, SchemaError, "events must be an EventLog. Got MessageLog"),
        ({"messages": WORLD.messages}, SchemaError, r"messages=om.MessageLog.from_frame\(frame\)"),
        ({"audience": SENT}, SchemaError, "audience must be an Audience. Got MessageLog"),
        ({"catalog": LOG}, SchemaError, "catalog must be a Catalog"),
        ({"attributes": WORLD.users}, SchemaError, "attributes must be an Interactions"),
        ({"asked": om.Requests.from_log(LOG).requests}, SchemaError, "asked must be an Asked. Got Requests"),
        ({"facts": WORLD.users}, SchemaError, "facts must be a list of frames"),
        ({"facts": [3]}, SchemaError, "facts must be frames. Got int"),
        ({"creatives": 3}, SchemaError, "creatives must be frames. Got int"),
        ({"identities": 3}, OmnirecoError, "takes an Identities"),
        ({"end": "2025-01-10"}, ParameterError, "lies before the end of a log"),
        ({"end": "soon"}, ParameterError, "end is not an ISO 8601 date"),
        ({"end": 3}, ParameterError, "end must be an instant"),
        ({"end": pd.Timestamp("2027-01-01")}, ParameterError, "no time zone"),
    ],
)
def test_parts_of_another_kind(parts, error, says):
    with pytest.raises(error, match=says):
        om.Dataset(**({"events": LOG} | parts))


@pytest.mark.parametrize(
    ("cut", "says"),
    [
        (lambda: DATA.split(DATA.end), "in the window after"),
        (lambda: DATA.split("2020-01-01"), "lies before"),
        (lambda: DATA.split(CUT, embargo="400D"), "lies before 2024-01-07"),
        (lambda: DATA.split(CUT, horizon="0D"), "longer than zero"),
        (lambda: DATA.split(CUT, horizon="-3D"), "must be a duration"),
        (lambda: DATA.split(pd.Timestamp("2025-02-10")), "no time zone"),
        (lambda: DATA.before(None), "must be an instant"),
        (lambda: om.Dataset(LOG).part("messages", "SendTime.fit"), r"needs messages.*om.Dataset\(log, messages=sent\)"),
        (lambda: DATA.matrix("weights"), "must be a Weights"),
    ],
)
def test_cuts_refused(cut, says):
    with pytest.raises(OmnirecoError, match=says):
        cut()


def test_empty_parts_and_no_parts():
    nothing = om.Dataset()
    assert repr(nothing) == "Dataset(nothing)"
    assert len(nothing.users) == 0
    with pytest.raises(ParameterError, match=r"has no end.*at='2025-06-01'"):
        om.Dataset(audience=PEOPLE).requests()
    assert len(om.Dataset(audience=PEOPLE).requests(at=CUT)) == 60
    early = DATA.before("2020-01-01")
    assert len(early.events) == len(early.messages) == 0
    assert early.requests().users.ids.size == 0
    with pytest.raises(EmptyError):
        om.ItemKNN().fit(early)


def test_a_cut_of_a_cut_knows_no_more():
    twice = DATA.before(CUT).before("2025-03-01")
    assert len(twice.events) == len(DATA.before(CUT).events)
    assert differences(om.EASE().fit(DATA.before("2025-03-01").before(CUT)), om.EASE().fit(DATA.before(CUT))) == []


def test_logs_and_frames_are_wrapped_where_they_suffice():
    for one in (LOG, WORLD.events, om.Dataset(LOG)):
        assert dataset_of(one, "fit", ("events",)).events.n_users == LOG.n_users
    assert dataset_of(SENT, "fit", ("messages",)).messages is SENT
    with pytest.raises(
        SchemaError, match=r"fit needs messages, and the data has none. Write om.Dataset\(log, messages"
    ):
        dataset_of(LOG, "fit", ("events", "messages"))
    with pytest.raises(SchemaError, match=r"fit takes a Dataset. Got Audience: write om.Dataset\(log\)"):
        dataset_of(PEOPLE, "fit", ("events",))


def test_it_is_frozen_and_names_nobody():
    with pytest.raises(dataclasses.FrozenInstanceError):
        DATA.events = None
    assert not any(str(user) in repr(DATA).replace(",", "") for user in DATA.users.ids)
    assert repr(DATA).count("\n") == 0


def test_every_zone_cuts_at_the_same_instant():
    for zone in ("Asia/Tokyo", "America/Los_Angeles", "Pacific/Chatham"):
        past = DATA.before(AT.tz_convert(zone))
        assert past.end == AT
        assert len(past.events) == len(DATA.before(CUT).events)
    shifted = WORLD.events.assign(timestamp=WORLD.events["timestamp"].dt.tz_convert("Asia/Kolkata"))
    assert len(om.Dataset(shifted).before(CUT).events) == len(DATA.before(CUT).events)


def test_small_data_is_what_laws_need():
    data = small_data(seed=2)
    assert set(data.events.events.ids) == {"purchase", "view"}
    assert data.end > data.events.end


PLAIN = pd.DataFrame({"user_id": DATA.users.ids[:5], "income": [1.0, 2.0, 3.0, 4.0, 5.0], "town": list("abcab")})
FACTS = {
    "pandas": PLAIN,
    "rows left out": pd.concat([PLAIN.iloc[:1], PLAIN])[1:],
    "categories": PLAIN.astype({"town": "category"}),
    "nullable": PLAIN.convert_dtypes(),
    "small integers": PLAIN.astype({"income": "int16"}),
    "arrow": PLAIN,
    "polars": PLAIN,
}


@pytest.mark.parametrize("name", FACTS)
def test_facts_of_any_frame_are_saved_and_erased(name, tmp_path):
    frame = FACTS[name]
    if name in ("arrow", "polars"):
        library = pytest.importorskip({"arrow": "pyarrow"}.get(name, name))
        frame = library.table(dict(frame)) if name == "arrow" else library.DataFrame(frame.to_dict("list"))
    data = om.Dataset(LOG, facts=[frame])
    back = om.load(om.save(data, tmp_path / "data")).facts[0]
    assert back["user_id"].tolist() == PLAIN["user_id"].tolist()
    assert back["income"].tolist() == PLAIN["income"].tolist()
    assert back["town"].tolist() == PLAIN["town"].tolist()
    left = om.files.erase(data, PLAIN["user_id"][:2]).facts[0]
    assert left["user_id"].tolist() == PLAIN["user_id"].tolist()[2:]
    assert list(om.files.people_in(data)) == ["events.users", "facts[0].user_id"]


@pytest.mark.parametrize(
    ("frame", "match"),
    [
        (PLAIN.assign(day=pd.Timestamp("2025-01-01")), "column 'day' has no time zone"),
        (pd.concat([PLAIN, PLAIN[["town"]]], axis=1), "two columns of one name"),
        (PLAIN.assign(long=pd.to_timedelta(1, "D")), "column 'long' is of kind timedelta64"),
    ],
)
def test_facts_that_a_file_cannot_keep_are_refused_when_they_are_saved(frame, match, tmp_path):
    with pytest.raises(ParameterError, match=match):
        om.save(om.Dataset(LOG, facts=[frame]), tmp_path / "data")


@pytest.mark.parametrize("text", [False, True])
def test_who_is_erased_takes_own_requests_and_what_was_chosen_along(text, tmp_path):
    """Requests are numbered: the number of a request is nobody's id, though it may look like one."""
    kind = str if text else int
    log = om.EventLog.from_frame(WORLD.events.assign(user_id=WORLD.events["user_id"].astype(kind)))
    whole = om.Dataset(log, asked=om.Requests.from_log(log, context=["channel"]))
    who = log.users.ids[:4]
    left = om.load(om.save(om.files.erase(whole, who), tmp_path / "data"))
    assert list(om.files.people_in(whole)) == ["events.users", "requests.users"]
    requests, chosen = left.asked
    assert requests.ids == chosen.users
    assert not set(requests.users.ids) & set(who)
    rows = whole.asked.requests.ids.codes(requests.ids.ids)
    assert len(rows) < len(whole.asked.requests)
    assert (chosen.csr != whole.asked.chosen.csr[rows]).nnz == 0
    asks = whole.asked.requests
    assert (asks.users.decode(asks.user[rows]) == requests.users.decode(requests.user)).all()


def test_a_loaded_cut_with_identities_is_the_cut(tmp_path):
    links = pd.DataFrame(
        {
            "kind_a": "user", "id_a": LOG.users.ids[:2].astype(str),
            "kind_b": "user", "id_b": LOG.users.ids[2:4].astype(str),
            "linked_at": pd.to_datetime(["2025-01-10", "2025-02-20"], utc=True),
        }
    )  # fmt: skip
    named = [frame.assign(user_id=frame["user_id"].astype(str)) for frame in (WORLD.events, WORLD.messages)]
    whole = om.Dataset(
        om.EventLog.from_frame(named[0]),
        messages=om.MessageLog.from_frame(named[1]),
        identities=om.identity.Identities.from_links(links),
    )
    for data in (whole, whole.before(CUT), whole.split(CUT)[1]):
        back = om.load(om.save(data, tmp_path / "data"))
        assert differences(back, data) == []
        assert differences(back.before("2025-01-20"), data.before("2025-01-20")) == []
        assert back.events.users == data.events.users
