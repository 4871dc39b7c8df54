"""Nothing behind a cut is reachable from what was known before it, and no estimator learns it: over all of them.

The world is hostile: whatever can happen only after the cut does. The other side of every comparison is made of frames
from which the later rows were removed before anything of omnireco saw them.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import omnireco as om
from omnireco._core.contract import Estimator
from omnireco.errors import EmptyError
from omnireco.testing import differences

CUT = pd.Timestamp("2025-03-01 00:00", tz="UTC")
CUT_US = int(CUT.timestamp() * 1_000_000)
TICK = pd.Timedelta("1us")
LATE = "late"  # every id that occurs only after the cut has it in its name


def frames():
    """The tables of a company, with everything that may happen only after the cut happening there."""
    draw = np.random.default_rng(5)
    world = om.simulate(n_users=70, n_items=22, days=90, seed=4)
    events = world.events.assign(user_id="u" + world.events["user_id"].astype(str))
    events = events.drop(columns="session_id").assign(value=events["value"].round(2))
    known = sorted(set(events.loc[events["timestamp"] < CUT, "user_id"]))
    kiosk = {"channel": "kiosk", "event": "purchase", "value": 3.0, "store_id": "s1"}
    nights = pd.date_range("2025-02-10", periods=3, freq="D", tz="UTC")  # real midnights, which look like dates later
    early = [nights, pd.date_range("2025-02-11 09:07", periods=25, freq="13h", tz="UTC")]
    dates = pd.date_range(CUT, periods=30, freq="D", tz="UTC").repeat(5)
    rows = [
        *(pd.DataFrame({"user_id": draw.choice(known, at.size), "item_id": "i01", "timestamp": at} | kiosk)
          for at in (*early, dates)),
        pd.DataFrame({"user_id": [known[0], known[0], known[0], f"{LATE}-person", known[1]],
                      "item_id": ["i02", "i03", "i03", f"{LATE}-item", f"{LATE}-item"],
                      "channel": ["web", "web", "web", f"{LATE}-channel", "web"],
                      "event": ["view", "view", "view", f"{LATE}-event", "view"],
                      "timestamp": [CUT - TICK, CUT, CUT, CUT, CUT + TICK], "value": [0.0, 0.0, 0.0, 9.0, 0.0],
                      "store_id": [None, None, None, f"{LATE}-store", None]}),
        pd.DataFrame({"user_id": [known[2]] * 3, "item_id": ["i04", "i05", "i06"], "channel": "web", "event": "view",
                      "timestamp": [CUT - pd.Timedelta("10min")] * 2 + [CUT + pd.Timedelta("5min")], "value": 0.0}),
        pd.DataFrame({"user_id": [None], "item_id": [f"{LATE}-item"], "channel": "web", "event": "view",
                      "timestamp": [CUT + TICK], "value": 0.0}),  # dropped, and counted
    ]  # fmt: skip
    events = pd.concat([events, *rows], ignore_index=True)

    sent = world.messages.assign(user_id="u" + world.messages["user_id"].astype(str)).sort_values("sent_at")
    sent["creative_id"] = sent["item_id"].map(lambda item: f"{item}-{len(item) % 2}")
    sent["clicked_at"] = sent["responded_at"].where(draw.random(len(sent)) < 0.5) + pd.Timedelta("3min")
    sent["unsubscribed_at"] = pd.Series(pd.NaT, index=sent.index, dtype="datetime64[ns, UTC]")  # old pandas errs in us
    before = sent.index[sent["sent_at"] < CUT]
    sent.loc[before[-20:], "responded_at"] = CUT + pd.Timedelta("1h")  # answers to earlier messages
    sent.loc[before[-1:], "responded_at"] = CUT
    sent.loc[before[-30:-20], "responded_at"] = CUT - pd.Timedelta("1us")
    sent.loc[before[-30:-25], "clicked_at"] = CUT + pd.Timedelta("2h")
    sent.loc[before[-20:], "clicked_at"] = CUT + pd.Timedelta("2h")
    sent.loc[before[-40:-35], "unsubscribed_at"] = CUT
    sent.loc[before[:3], "unsubscribed_at"] = CUT - TICK
    sent.loc[sent["sent_at"] > CUT - pd.Timedelta("1h"), "responded_at"] = pd.NaT
    sent.loc[sent["sent_at"] > CUT - pd.Timedelta("1h"), ["clicked_at", "unsubscribed_at"]] = pd.NaT
    sent["machine"] = np.where(sent["responded_at"] >= CUT, 1.0, np.nan)  # a flag only after it
    more = pd.DataFrame({"user_id": [f"{LATE}-person", known[0]], "channel": [f"{LATE}-channel", "email"],
                         "item_id": [f"{LATE}-item", "i02"], "creative_id": [f"{LATE}-creative", "i02-1"],
                         "sent_at": [CUT, CUT - TICK], "responded_at": [CUT + TICK, CUT], "propensity": 0.5,
                         "machine": [1.0, 1.0]})  # fmt: skip
    messages = pd.concat([sent, more], ignore_index=True)

    people = world.users.assign(user_id="u" + world.users["user_id"].astype(str))
    for channel in ("email", "push"):
        people[f"consent_{channel}_at"] = pd.Series(
            pd.NaT, index=people.index, dtype="datetime64[ns, UTC]"
        )  # old pandas errs in us
        people.loc[people.index[:20], f"consent_{channel}_at"] = CUT + pd.Timedelta("9D")  # given, or withdrawn
        people.loc[people.index[20:25], f"consent_{channel}_at"] = CUT
        people.loc[people.index[25:40], f"consent_{channel}_at"] = CUT - TICK

    links = pd.DataFrame({"kind_a": "id", "kind_b": "id", "id_a": [known[3], known[5], known[7], f"{LATE}-cookie"],
                          "id_b": [known[4], known[6], known[8], known[9]],
                          "linked_at": [CUT - TICK, CUT, CUT + pd.Timedelta("3D"), CUT + TICK]})  # fmt: skip
    return {"events": events, "messages": messages, "people": people, "links": links, "items": world.items}


def removed(tables):
    """The tables without the later rows, by pandas alone."""
    events, messages, people = (tables[name].copy() for name in ("events", "messages", "people"))
    messages = messages[messages["sent_at"] < CUT]
    for name in ("responded_at", "clicked_at", "unsubscribed_at"):
        messages.loc[messages[name] >= CUT, name] = pd.NaT
    messages.loc[messages["responded_at"].isna(), "machine"] = np.nan
    for channel in ("email", "push"):
        later = people[f"consent_{channel}_at"] >= CUT
        people.loc[later, f"consent_{channel}"] = False
        people.loc[later, f"consent_{channel}_at"] = pd.NaT
    links = tables["links"][tables["links"]["linked_at"] < CUT]
    known = {"events": events[events["timestamp"] < CUT], "messages": messages, "people": people, "links": links}
    return tables | known


def read(tables, end=None, *, drop="drop"):
    """The tables as a Dataset; some person straddles the cut with a request, which is of neither side."""
    log = om.EventLog.from_frame(tables["events"], on_invalid=drop)
    requests, chosen = om.Requests.from_log(log, context=["channel", "store_id"], events=["purchase", "view"])
    items = sorted(set(tables["items"]["item_id"]))
    art = [{"creative_id": f"{item}-{face}", "item_id": item, "face": float(face)} for item in items for face in (0, 1)]
    people = om.Audience.from_frame(tables["people"], attributes=["age_group"])
    data = om.Dataset(
        log,
        messages=om.MessageLog.from_frame(tables["messages"]),
        audience=people,
        catalog=om.Catalog.from_frame(tables["items"]),
        identities=om.identity.Identities.from_links(tables["links"]),
        attributes=om.models.people_attributes(people),
        creatives=pd.DataFrame(art),
        end=end,
    )
    if end is not None:  # by hand: the request of which the last choice came after the cut is not known whole
        person, last = requests.users.ids[requests.user], pd.Series(requests.closed_at)
        is_last = last.to_numpy() == last.groupby(person).transform("max").to_numpy()
        kept = np.flatnonzero(~(is_last & np.isin(person, straddling())))
        assert kept.size <= len(requests) - 2
        requests, chosen = requests.take(kept), chosen.take(kept)
    else:
        requests = requests.on(data)
    asked = type(om.Requests.from_log(log))(requests, chosen)
    return with_asked(data, asked=asked)


def straddling():
    """People whose last choice before the cut and first one after it belong to one request."""
    events = TABLES["events"]
    early, late = events[events["timestamp"] < CUT], events[events["timestamp"] >= CUT]
    pause = late.groupby("user_id")["timestamp"].min() - early.groupby("user_id")["timestamp"].max()
    return sorted(pause.index[pause < pd.Timedelta("30min")])


def with_asked(data, asked):
    """The Dataset with requests."""
    names = ("messages", "audience", "catalog", "identities", "attributes", "creatives")
    events, messages, audience, _ = data._as_given
    parts = {name: getattr(data, name) for name in names} | {"messages": messages, "audience": audience}
    return om.Dataset(events, asked=asked, end=data.end, **parts)


TABLES = frames()
WHOLE = read(TABLES)
PAST = WHOLE.before(CUT)
BY_HAND = read(removed(TABLES), end=CUT)

REQUIRED = {
    "Blend": {"models": {"als": om.ALS(factors=3), "next": om.models.NextItem(), "typed": om.models.TypedEASE()}},
    "Ranker": {"models": [om.Popularity(), om.BuyAgain()], "ranker": "logit", "n_requests": 100, "n_candidates": 8},
    "Uplift": {"target": "purchase", "folds": 2, "least": 5},
}
"""Parameters that an estimator must be given, or that make its fit small."""

NOT_OF_A_DATASET = {"LinearBandit"}  # it learns decisions, an om.choices.Feedback, which have no instants


def estimators():
    """Every estimator that a room shows, by name."""
    found = {}
    for room in (om.models, om.timing, om.choices, om.journeys, om.causal, om.evaluation, om.identity, om.planning):
        for name in room.__all__:
            kind = getattr(room, name)
            if inspect.isclass(kind) and issubclass(kind, Estimator) and not inspect.isabstract(kind):
                found[name] = kind
    return found


ESTIMATORS = estimators()
VARIANTS = {
    **{name: (lambda kind=kind, name=name: kind(**REQUIRED.get(name, {}))) for name, kind in ESTIMATORS.items()},
    "ALS that fades": lambda: om.ALS(factors=3, weights=om.Weights(half_life="9D", deduplicate="1h")),
    "Popularity by steps": lambda: om.Popularity(by="weight", weights=om.Weights(step_half_life=2.0)),
    "Ranker of other requests": lambda: om.Ranker(**REQUIRED["Ranker"] | {"requests_from": "14D"}),
}


def test_every_estimator_of_the_library_is_tried():
    assert len(ESTIMATORS) >= 25
    assert set(ESTIMATORS) >= NOT_OF_A_DATASET


@pytest.mark.filterwarnings("ignore::omnireco.errors.DataWarning")
@pytest.mark.parametrize("name", sorted(set(VARIANTS) - NOT_OF_A_DATASET))
def test_a_fit_on_the_past_is_the_fit_on_logs_without_the_later_rows(name):
    one, two = (VARIANTS[name]().fit(data) for data in (PAST, BY_HAND))
    assert differences(one, two) == []
    assert strays(one) == []


@pytest.mark.filterwarnings("ignore::omnireco.errors.DataWarning")
@pytest.mark.parametrize("verb", [om.timing.infer_zones, om.journeys.unfinished, om.evaluation.channel_report])
def test_what_is_read_of_the_past_is_read_of_logs_without_the_later_rows(verb):
    one, two = (verb(data) for data in (PAST, BY_HAND))
    assert differences(one, two) == []
    assert strays(one) == []


def test_every_part_of_the_past_is_what_was_known():
    for name in ("events", "messages", "audience", "identities", "attributes", "creatives", "end_us"):
        one, two = getattr(PAST, name), getattr(BY_HAND, name)
        if name in ("events", "messages", "audience"):  # what a frame was read from says its rows
            more = {} if name != "events" else {"resolution": None, "start_us": 0}
            one, two = (dataclasses.replace(part, quality=None, **more) for part in (one, two))
        assert differences(one, two) == [], name
    assert PAST.events.dated is None
    assert WHOLE.events.dated is not None
    one, two = PAST.asked, BY_HAND.asked
    for name in ("user", "at", "users", "labels", "closed_at"):
        assert differences(getattr(one.requests, name), getattr(two.requests, name)) == [], name
    assert differences(one.chosen.csr, two.chosen.csr) == []
    assert one.chosen.items == two.chosen.items


def reached(value, where="past", known=None):
    """Yield every array, id and number that can be reached from a value, with its path."""
    known = {} if known is None else known
    if value is None or isinstance(value, (type, np.dtype, np.random.SeedSequence)) or id(value) in known:
        return
    known[id(value)] = value
    if isinstance(value, np.ndarray):
        yield where, value
        yield from reached(value.base, f"{where}.base", known)
    elif sp.issparse(value):
        for part in ("data", "indices", "indptr"):
            yield from reached(getattr(value, part), f"{where}.{part}", known)
    elif isinstance(value, pd.DataFrame):
        for column in value:
            yield f"{where}.{column}", value[column].to_numpy()
    elif isinstance(value, pd.Index):
        yield where, value.to_numpy()
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from reached(key, f"{where}.key", known)
            yield from reached(part, f"{where}[{key!r}]", known)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for number, part in enumerate(value):
            yield from reached(part, f"{where}[{number}]", known)
    elif isinstance(value, (str, int, float, np.generic)):
        yield where, np.array([value], object if isinstance(value, str) else None)
    else:
        slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
        for name in dict.fromkeys([*slots, *getattr(value, "__dict__", ())]):
            if hasattr(value, name) and not name.startswith("__"):
                yield from reached(getattr(value, name), f"{where}.{name}", known)


FAR = int(np.iinfo(np.int64).max)
COUNTS = {len(TABLES["events"]), len(WHOLE.events), len(TABLES["messages"])}


def strays(value):
    """Return the places at which something later can be read: an id, an instant, a count of rows."""
    found = []
    for where, array in reached(value):
        if array.dtype.kind in "OU":
            wrong = any(isinstance(one, str) and LATE in one for one in array.ravel().tolist())
        elif array.dtype.kind == "M":
            wrong = bool((array.astype("datetime64[us]").astype(np.int64) > CUT_US).any())
        elif array.dtype.kind in "iu":
            numbers = array.astype(np.int64)
            wrong = bool(((numbers > CUT_US) & (numbers < FAR)).any())
            wrong = wrong or (array.size == 1 and int(array.ravel()[0]) in COUNTS)
        else:
            wrong = False
        if wrong:
            found.append(where)
    return found


def test_nothing_behind_the_cut_can_be_reached_from_the_past():
    assert strays(PAST) == []
    assert strays(PAST.requests()) == []
    assert strays(PAST.matrix()) == []
    assert strays(WHOLE.split(CUT, horizon="7D", embargo="2D").past) == []
    assert all(strays(cut.past) == [] for cut in WHOLE.rolling(horizon="3D", n=2) if cut.past.end <= CUT)
    assert len(strays(WHOLE)) > 20  # the search finds what there is


def test_a_cut_of_a_cut_and_a_longer_end_bring_nothing_back():
    again = PAST.before(CUT + pd.Timedelta("20D"))
    assert len(again.events) == len(PAST.events)
    assert differences(again.events.users, PAST.events.users) == []
    assert strays(dataclasses.replace(again.events, end_us=CUT_US)) == []
    assert strays(again.identities.as_of(CUT + pd.Timedelta("20D")).ids) == []
    early = WHOLE.before(CUT - pd.Timedelta("10D"))
    assert differences(early.events.user, PAST.before(CUT - pd.Timedelta("10D")).events.user) == []


def test_consents_are_cut_also_where_no_log_reaches_the_cut():
    people = WHOLE._as_given[2]
    late = om.Audience.from_frame(people.to_frame(), attributes=["age_group"])
    for data in (om.Dataset(audience=late), om.Dataset(PAST.events, audience=late)):
        known = data.before(CUT).audience
        assert differences(known.consent, people.as_of(CUT).consent) == []
        assert strays(known) == []
    with pytest.raises(EmptyError):
        om.EASE().fit(WHOLE.before("2020-01-01"))


def test_what_came_later_holds_nothing_earlier():
    later = WHOLE.split(CUT, horizon="5D").later
    assert later.events.at.min() == CUT_US
    assert later.messages.sent_at.min() == CUT_US
    assert (later.asked.requests.at >= CUT_US).all()
    assert (later.asked.requests.closed_at < CUT_US + 5 * 86_400_000_000).all()
    stop = CUT_US + 5 * 86_400_000_000
    for _, array in reached(later.events):
        assert not (array.dtype == np.int64 and ((array > stop) & (array < FAR)).any())
    people = set(later.events.users.ids)
    links = TABLES["links"]
    joined = [(row.id_a, row.id_b) for row in links.itertuples() if row.linked_at >= CUT]
    assert not any(f"{LATE}-cookie" == person for person in people)
    assert joined  # links of the window join nobody in it: who is who is known by the cut alone
    assert differences(later.identities.person, PAST.identities.person) == []


def sendable():
    """Who may be sent to, by pandas alone: (person, channel) with a consent of before the cut and no unsubscription."""
    tables = removed(TABLES)
    joined = {row.id_a: row.id_b for row in tables["links"].itertuples()}
    people, sent, found = tables["people"].set_index("user_id"), tables["messages"], set()
    for channel in ("email", "push"):
        left = sent[(sent["channel"] == channel) & sent["unsubscribed_at"].notna()]
        when = left.groupby("user_id")["unsubscribed_at"].max()
        for person, row in people.iterrows():
            given = row[f"consent_{channel}_at"]
            open_ = person not in when or (pd.notna(given) and given > when[person])
            if row[f"consent_{channel}"] and open_:
                found.add((person, channel))
    return found, {one for pair in joined.items() for one in pair}


@pytest.mark.filterwarnings("ignore::omnireco.errors.DataWarning")
def test_nothing_is_sent_without_a_consent_that_was_known_at_the_cut():
    allowed, joined = sendable()
    slots, recs = om.slots("2025-03-02", days=2), om.Popularity().fit(PAST).recommend(PAST.requests(), k=2)
    timing = om.SendTime().fit(PAST)
    made = [om.candidates(recs, data, timing, slots, channels=["email", "push"]) for data in (PAST, BY_HAND)]
    assert made[0].to_frame().equals(made[1].to_frame())
    noon = int(np.take(slots.at, 12))
    rows = [{"user_id": person, "item_id": "i01", "channel": channel, "send_at": noon, "value": 1.0}
            for person in PAST.users.ids for channel in ("email", "push")]  # fmt: skip
    frame = pd.DataFrame(rows).assign(send_at=lambda f: pd.to_datetime(f["send_at"], unit="us", utc=True))
    read_back = om.planning.Candidates.from_frame(frame, PAST)
    hours = pd.concat([timing.best(PAST, "2025-03-02", 1, channel=channel) for channel in ("email", "push")])
    for sent in (made[0].to_frame(), read_back.to_frame(), om.plan(made[0]).to_frame(), hours):
        pairs = {pair for pair in zip(sent["user_id"], sent["channel"], strict=True) if pair[0] not in joined}
        assert len(pairs) > 20
        assert pairs <= allowed
    everybody = set(zip(hours["user_id"], hours["channel"], strict=True))
    planned = made[0].to_frame()
    assert set(zip(planned["user_id"], planned["channel"], strict=True)) <= everybody


@pytest.mark.parametrize("at", [CUT, pd.Timestamp("1960-01-01", tz="UTC")])
def test_a_saved_cut_comes_back_as_it_was(at, tmp_path):
    past = WHOLE.before(at)
    om.save(past, tmp_path / "past")
    back = om.load(tmp_path / "past")
    assert differences(past, back) == []
    assert differences(past._given(), back._given()) == []
    assert strays(back) == []
