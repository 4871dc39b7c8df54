"""One person from many ids: by hand, against a slow truth, and what a merge must never do."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import omnireco as om
from omnireco.errors import ParameterError, SchemaError

quick = settings(max_examples=20, deadline=None)
DAY = pd.Timestamp("2025-05-01", tz="UTC")


def links(*rows, **columns):
    """Links from 'kind:id' pairs, with strength and day where given."""
    ends = [[*(part for end in row[:2] for part in end.split(":"))] for row in rows]
    frame = pd.DataFrame(ends, columns=["kind_a", "id_a", "kind_b", "id_b"])
    if any(len(row) > 2 for row in rows):
        frame["strength"] = [float(row[2]) if len(row) > 2 else 1.0 for row in rows]
    if any(len(row) > 3 for row in rows):
        frame["linked_at"] = [DAY + pd.Timedelta(days=row[3]) if len(row) > 3 else pd.NaT for row in rows]
    return frame.assign(**columns)


def groups(identities):
    """The people as a set of frozensets of 'kind:id'."""
    frame = identities.to_frame()
    spelled = frame["kind"] + ":" + frame["id"].astype(str)
    return {frozenset(part) for _, part in spelled.groupby(frame["person_id"])}


def same(one, other):
    pd.testing.assert_frame_equal(one.to_frame(), other.to_frame())
    pd.testing.assert_frame_equal(one.links(), other.links())


# ---- by hand ----------------------------------------------------------------------------------------------


def test_links_join():
    identities = om.identity.Identities.from_links(
        links(("cookie:k1", "email:e1"), ("email:e1", "card:7"), ("cookie:k2", "email:e2")), trusted=["card"]
    )
    assert groups(identities) == {frozenset({"cookie:k1", "email:e1", "card:7"}), frozenset({"cookie:k2", "email:e2"})}
    assert identities.people.ids.tolist() == ["7", "k2"]  # the card by trust; then kinds by name
    assert (len(identities), identities.n_people, identities.n_links) == (5, 2, 3)
    assert repr(identities) == "Identities(5 ids of 3 kinds, 2 people, 3 links)"
    assert identities.person_of(["e1", "k2", "new"], kind=None).tolist() == ["7", "k2", "new"]
    assert identities.person_of(["e1", "7"], kind="email").tolist() == ["7", "email:7"]


def test_a_person_is_called_by_trust_then_age_then_text():
    frame = links(("cookie:b", "email:z", 1, 5), ("cookie:a", "email:z", 1, 9), ("email:y", "cookie:a", 1, 2))
    assert om.identity.Identities.from_links(frame).people.ids.tolist() == ["a"]  # of the cookies, linked first
    assert om.identity.Identities.from_links(frame, trusted=["email"]).people.ids.tolist() == ["y"]
    assert om.identity.Identities.from_links(
        frame.drop(columns="linked_at"), trusted=["email"]
    ).people.ids.tolist() == ["y"]
    later = om.identity.Identities.from_links(frame).updated(links(("cookie:0a", "email:z", 1, 30)))
    assert later.people.ids.tolist() == ["a"]


def test_the_same_text_of_two_kinds_is_two_ids():
    identities = om.identity.Identities.from_links(links(("card:7", "email:e"), ("cookie:7", "email:f")))
    assert identities.people.ids.tolist() == ["card:7", "cookie:7"]
    assert identities.person_of(["7", "8"], kind="cookie").tolist() == ["cookie:7", "8"]
    with pytest.raises(ParameterError, match="1 of the ids occur in several kinds"):
        identities.person_of(["7"])
    with pytest.raises(ParameterError, match="no link has an id of the kind 'crm'; the kinds are 'card', 'cookie'"):
        identities.person_of(["7"], kind="crm")


def test_integers_stay_integers_where_they_can():
    frame = pd.DataFrame({"id_a": [1, 5], "kind_a": "device", "id_b": [100, 101], "kind_b": "card"})
    identities = om.identity.Identities.from_links(frame, trusted=["card"])
    assert identities.person_of([1, 5, 9]).tolist() == [100, 101, 9]
    assert identities.person_of(["1", "x"]).tolist() == ["100", "x"]
    mixed = om.identity.Identities.from_links(frame.assign(id_b=["a", "b"]), trusted=["card"])
    assert mixed.person_of([1, 9]).tolist() == ["a", "9"]
    assert om.identity.Identities.from_links(frame.iloc[:0]).person_of([3]).tolist() == [3]


def test_a_shared_kiosk_joins_nobody():
    kiosk = [("device:kiosk", f"card:{i}") for i in range(1, 11)]
    home = [("device:phone", "card:1"), ("device:tablet", "card:2"), ("device:tablet", "card:3")]
    assert om.identity.Identities.from_links(links(*kiosk, *home)).n_people == 1
    guarded = om.identity.Identities.from_links(links(*kiosk, *home), max_links={("device", "card"): 2})
    assert guarded.n_people == 1 + 10 - 1
    assert guarded.links()["status"].value_counts().to_dict() == {"shared": 10, "used": 3}
    assert om.identity.Identities.from_links(links(*kiosk, *home), max_links={"device": 2}).n_people == guarded.n_people
    summary = guarded.summary()
    assert summary[["kind_a", "kind_b", "used", "shared", "largest_person"]].values.tolist() == [
        ["card", "device", 3, 10, 3]
    ]
    capped = om.identity.Identities.from_links(links(*kiosk, *home), max_ids=5)
    assert capped.n_people == len(capped)  # equally strong: nobody is joined rather than anybody
    strong = [(*pair, 0.9) for pair in home] + [(*pair, 0.3) for pair in kiosk]
    capped = om.identity.Identities.from_links(links(*strong), max_ids=5)
    assert groups(capped) == groups(guarded)
    assert capped.links()["status"].value_counts().to_dict() == {"oversized": 10, "used": 3}
    assert om.identity.Identities.from_links(links(*kiosk), max_ids=None).n_people == 1


def test_strength_and_age_by_kind():
    frame = links(("cookie:a", "email:e", 0.4, 0), ("cookie:b", "email:e", 0.8, 10), ("card:c", "email:e", 0.4, 0))
    assert om.identity.Identities.from_links(frame, min_strength=0.5).links()["status"].tolist() == [
        "weak",
        "weak",
        "used",
    ]
    by_kind = om.identity.Identities.from_links(frame, min_strength={"cookie": 0.5})
    assert by_kind.links()["status"].tolist() == ["used", "weak", "used"]
    old = om.identity.Identities.from_links(frame, expiry={"cookie": "7D"})
    assert old.links()["status"].tolist() == ["used", "expired", "used"]
    assert om.identity.Identities.from_links(frame, expiry="10D").n_people == 1  # not older than ten days
    assert om.identity.Identities.from_links(frame, expiry="10D", at=DAY + pd.Timedelta("11D")).n_people == 3
    refreshed = om.identity.Identities.from_links(
        pd.concat([frame, links(("email:e", "cookie:a", 0.4, 10))]), expiry="7D"
    )
    assert groups(refreshed) == {frozenset({"cookie:a", "cookie:b", "email:e"}), frozenset({"card:c"})}
    untimed = om.identity.Identities.from_links(links(("cookie:a", "email:e")), expiry="1D", at="2050-01-01")
    assert untimed.n_people == 1


def test_the_past_does_not_know_later_links():
    frame = links(("cookie:a", "email:e", 1, 0), ("cookie:b", "email:e", 1, 10))
    identities = om.identity.Identities.from_links(frame)
    then = identities.as_of(DAY + pd.Timedelta("10D"))
    assert groups(then) == {frozenset({"cookie:a", "email:e"}), frozenset({"cookie:b"})}
    assert then.links()["status"].tolist() == ["used", "later"]
    same(then.as_of("2026-01-01"), om.identity.Identities.from_links(frame, at="2026-01-01"))


def test_unmerge():
    frame = links(("cookie:a", "email:e"), ("cookie:b", "email:e"), ("cookie:b", "card:1"))
    identities = om.identity.Identities.from_links(frame)
    apart = identities.without(links(("email:e", "cookie:b")))  # either direction
    same(apart, om.identity.Identities.from_links(frame.drop(index=1)))
    assert apart.n_people == 2
    with pytest.raises(ParameterError, match="1 of 2 pairs were never linked"):
        identities.without(links(("email:e", "cookie:b"), ("email:e", "cookie:z")))
    gone = identities.without(frame)
    assert (len(gone), gone.n_links) == (0, 0)
    same(gone.updated(frame), identities)


def test_saved_and_loaded(tmp_path):
    frame = links(("device:a", "card:1", 0.9, 0), ("device:a", "card:2", 0.5, 3), ("cookie:k", "card:2", 0.7, 5))
    rules = [
        {
            "max_links": {("device", "card"): 1, "cookie": 4},
            "expiry": {"cookie": pd.Timedelta("3D")},
            "at": "2026-01-01",
        },
        {"min_strength": {"card": 0.6}, "max_ids": None, "trusted": ["card"]},
        {"min_strength": 0.6, "expiry": "4D"},
    ]
    for rule in rules:
        identities = om.identity.Identities.from_links(frame, **rule, missing="ignore")
        om.save(identities, tmp_path / "who.omnireco")
        loaded = om.load(tmp_path / "who.omnireco")
        same(loaded, identities)
        more = links(("cookie:k", "device:b", 1, 6))
        same(loaded.updated(more), identities.updated(more))


def test_bad_links():
    with pytest.raises(SchemaError, match="from_links needs the columns 'kind_a', 'id_b', 'kind_b'"):
        om.identity.Identities.from_links(pd.DataFrame({"id_a": ["x"]}))
    with pytest.raises(SchemaError, match=r"strength must lie in \[0, 1\]; it does not in 1 row \(position 0\)"):
        om.identity.Identities.from_links(links(("a:1", "b:2", 90)))
    with pytest.raises(SchemaError, match="id_a is missing in 1 row"):
        om.identity.Identities.from_links(links(("a:1", "b:2"), id_a=None))
    with pytest.raises(ParameterError, match="max_links must map kinds, or pairs of kinds"):
        om.identity.LinkRules(max_links={3: 1})
    with pytest.raises(ParameterError, match=r"min_strength\['cookie'\] must be a number"):
        om.identity.LinkRules(min_strength={"cookie": "high"})
    with pytest.raises(ParameterError, match="expiry must be a duration"):
        om.identity.Identities.from_links(links(("a:1", "b:2")), expiry=30)
    with pytest.raises(ParameterError, match="would have the name of another"):
        om.identity.Identities.from_links(
            links(("a:x", "c:1"), ("b:x", "c:2"), ("d:a:x".replace("d:a", "d"), "c:3"))
        ).updated(pd.DataFrame({"id_a": ["a:x"], "kind_a": ["a"], "id_b": ["z"], "kind_b": ["c"]}))


# ---- laws -----------------------------------------------------------------------------------------------------


@st.composite
def worlds(draw, most=14):
    """Random links over few ids, and rules."""
    node = st.tuples(st.sampled_from(["card", "cookie", "device"]), st.integers(1, 6)).map(lambda n: f"{n[0]}:{n[1]}")
    row = st.tuples(node, node, st.sampled_from([0.2, 0.5, 0.5, 0.9]), st.integers(0, 9))
    rows = draw(st.lists(row, min_size=1, max_size=most))
    rules = {
        "max_ids": draw(st.sampled_from([None, 2, 3, 5])),
        "max_links": draw(st.sampled_from([None, {"device": 2}, {("device", "card"): 1}, {"cookie": 0}])),
        "min_strength": draw(st.sampled_from([0.0, 0.5, {"cookie": 0.6}])),
        "expiry": draw(st.sampled_from([None, "3D", {"device": "2D"}])),
        "trusted": draw(st.sampled_from([(), ("device", "card")])),
        "at": draw(st.sampled_from([None, DAY + pd.Timedelta("5D")])),
    }
    return links(*rows), rules


def slow_groups(frame, rules):
    """The people by plain loops over sets."""
    at = rules["at"]
    known = [row for row in frame.itertuples() if at is None or row.linked_at < at]
    now = frame["linked_at"].max() if at is None else at
    nodes = set(frame["kind_a"] + ":" + frame["id_a"]) | set(frame["kind_b"] + ":" + frame["id_b"])

    def by_kind(rule, kind, default):
        return rule.get(kind, default) if isinstance(rule, dict) else rule

    best = {}
    for row in known:
        one, other = f"{row.kind_a}:{row.id_a}", f"{row.kind_b}:{row.id_b}"
        kinds = (row.kind_a, row.kind_b)
        fresh = rules["expiry"] is None or all(
            now - row.linked_at <= pd.Timedelta(by_kind(rules["expiry"], kind, "9999D")) for kind in kinds
        )
        strong = all(row.strength >= by_kind(rules["min_strength"], kind, 0.0) for kind in kinds)
        if one != other and fresh and strong:
            pair = frozenset((one, other))
            best[pair] = max(best.get(pair, 0), row.strength)
    for key, most in (rules["max_links"] or {}).items():
        own, theirs = (key, None) if isinstance(key, str) else key
        shared = set()
        for node in nodes:
            far = [m for pair in best if node in pair for m in pair - {node}]
            counted = [m for m in far if theirs is None or m.startswith(theirs + ":")]
            if node.startswith(own + ":") and len(counted) > most:
                shared |= {frozenset((node, m)) for m in counted}
        rules = rules | {"refused": rules.get("refused", set()) | shared}
    best = {pair: value for pair, value in best.items() if pair not in rules.get("refused", set())}

    def components(pairs, among):
        left, found = set(among), set()
        while left:
            part, rim = set(), {left.pop()}
            while rim:
                part |= rim
                rim = {m for pair in pairs for m in pair if pair & part} - part
            left -= part
            found.add(frozenset(part))
        return found

    def fit(pairs, part):
        if rules["max_ids"] is None or len(part) <= rules["max_ids"]:
            return {part}
        weakest = min(pairs.values())
        stronger = {pair: value for pair, value in pairs.items() if value > weakest}
        return {
            small
            for piece in components(stronger, part)
            for small in fit({pair: value for pair, value in stronger.items() if pair <= piece}, piece)
        }

    return {
        small
        for part in components(best, nodes)
        for small in fit({pair: value for pair, value in best.items() if pair <= part}, part)
    }


@settings(quick, max_examples=80)
@given(worlds())
def test_groups_agree_with_plain_loops(world):
    frame, rules = world
    assert groups(om.identity.Identities.from_links(frame, **rules, missing="ignore")) == slow_groups(frame, rules)


@quick
@given(worlds(), st.randoms(use_true_random=False), st.data())
def test_the_order_of_rows_and_ends_never_matters(world, chance, data):
    frame, rules = world
    shuffled = frame.sample(frac=1, random_state=chance.randrange(10**6)).reset_index(drop=True)
    flip = np.array(data.draw(st.lists(st.booleans(), min_size=len(frame), max_size=len(frame))))
    turned = shuffled.copy()
    for name in ("id", "kind"):
        turned.loc[flip, f"{name}_a"] = shuffled.loc[flip, f"{name}_b"]
        turned.loc[flip, f"{name}_b"] = shuffled.loc[flip, f"{name}_a"]
    again = pd.concat([turned, turned.iloc[:2]])  # and saying a thing twice adds nothing
    same(
        om.identity.Identities.from_links(frame, **rules, missing="ignore"),
        om.identity.Identities.from_links(again, **rules, missing="ignore"),
    )


@quick
@given(worlds(), st.integers(0, 14))
def test_updated_equals_rebuilt_and_without_undoes(world, at):
    frame, rules = world
    whole = om.identity.Identities.from_links(frame, **rules, missing="ignore")
    first = om.identity.Identities.from_links(frame.iloc[:at], **rules, missing="ignore")
    same(first.updated(frame.iloc[at:]), whole)
    pair = [frozenset(((r.kind_a, r.id_a), (r.kind_b, r.id_b))) for r in frame.itertuples()]
    rest = [p not in pair[at:] for p in pair]
    same(whole.without(frame.iloc[at:]), om.identity.Identities.from_links(frame[rest], **rules, missing="ignore"))


def worlds_log(seed, n=60):
    draw = np.random.default_rng(seed)
    channel = draw.choice(["store", "web", "app"], n)
    return pd.DataFrame(
        {
            "user_id": draw.integers(1, 9, n).astype(str),  # 7 and 8 are known to no link
            "item_id": draw.integers(0, 5, n),
            "channel": channel,
            "event": draw.choice(["view", "purchase"], n),
            "timestamp": DAY + pd.to_timedelta(draw.integers(0, 9 * 86_400, n), unit="s"),
            "value": draw.random(n).round(3),
        }
    )


@quick
@given(worlds(), st.integers(0, 99), st.booleans())
def test_a_merge_never_loses_or_doubles_an_event(world, seed, per_channel):
    frame, rules = world
    identities = om.identity.Identities.from_links(frame, **rules, missing="ignore")
    known = set(identities.kinds.ids)
    kind = {"store": "card", "web": "cookie", "app": "device"} if per_channel else sorted(known)[0]
    if per_channel and not set(kind.values()) <= known:
        return
    raw = worlds_log(seed)
    log = om.EventLog.from_frame(raw)
    resolved = log.resolve(identities, kind=kind)

    named = identities.to_frame()
    name = {(row.kind, row.id): row.person_id for row in named.itertuples()}
    people = set(named["person_id"])

    def person(user, channel):
        which = kind[channel] if per_channel else kind
        called = name.get((which, user), user)
        return f"{which}:{user}" if called == user and (which, user) not in name and user in people else called

    expected = raw.assign(user_id=[person(u, c) for u, c in zip(raw["user_id"], raw["channel"], strict=True)])
    pd.testing.assert_frame_equal(resolved.to_frame(), om.EventLog.from_frame(expected).to_frame())

    report = resolved.resolution
    assert report.events == len(log) == len(resolved)
    assert (report.ids, report.people) == (log.n_users, resolved.n_users)
    crossing = expected.groupby("user_id")["channel"].nunique()
    assert report.cross_channel_after == (crossing > 1).sum()
    assert report.cross_channel_before == raw.groupby("user_id")["channel"].nunique().gt(1).sum()

    # resolve, then build = build, then merge the rows
    weights = om.Weights(events={"view": 1, "purchase": 3}, half_life="5D", value="linear")
    at = log.end
    if not per_channel:
        x, y = log.matrix(weights, at=at), resolved.matrix(weights, at=at)
        merged = np.zeros((resolved.n_users, x.n_items))
        rows = resolved.users.codes([person(user, "store") for user in x.users.ids])
        np.add.at(merged, rows, x.csr.toarray())
        np.testing.assert_allclose(y.csr.toarray(), merged, rtol=1e-5)


# ---- the doors ------------------------------------------------------------------------------------------------


def test_messages_and_audience():
    identities = om.identity.Identities.from_links(
        links(("cookie:k1", "card:c"), ("cookie:k2", "card:c")), trusted=["card"]
    )
    sent = pd.DataFrame(
        {
            "user_id": ["k2", "k1", "k9"],
            "channel": "push",
            "sent_at": [DAY, DAY, DAY],
            "responded_at": [pd.NaT, DAY, pd.NaT],
        }
    )
    messages = om.MessageLog.from_frame(sent).resolve(identities, kind="cookie")
    assert messages.to_frame()["user_id"].tolist() == ["c", "c", "k9"]
    assert int(messages.responded.sum()) == 1

    people = pd.DataFrame(
        {
            "user_id": ["c", "k1", "k2", "k9"],
            "timezone": ["Asia/Tokyo", None, "Asia/Tokyo", "Europe/Paris"],
            "consent_email": [True, True, True, True],
            "consent_push": [True, True, False, True],
            "reachable_push": [False, True, False, True],
            "segment": ["a", None, "b", "c"],
        }
    )
    audience = om.Audience.from_frame(people, attributes=["segment"]).resolve(identities)
    shown = audience.to_frame().set_index("user_id")
    assert shown.loc["c", ["consent_email", "consent_push", "reachable_push"]].tolist() == [True, False, True]
    assert shown["timezone"].tolist() == ["Asia/Tokyo", "Europe/Paris"]
    assert shown["segment"].isna().tolist() == [True, False]
    moved = om.Audience.from_frame(people.assign(timezone=["Asia/Tokyo", "Asia/Seoul", None, None])).resolve(identities)
    assert (moved.zone == -1).all()
    for value in (om.EventLog.from_frame(worlds_log(1)), messages, audience):
        with pytest.raises(ParameterError, match="resolve takes an Identities"):
            value.resolve(people)


def test_kinds_by_channel_are_checked():
    log = om.EventLog.from_frame(worlds_log(1))
    identities = om.identity.Identities.from_links(links(("cookie:1", "card:2")))
    with pytest.raises(ParameterError, match="kind lacks the channels 'app', 'web'"):
        log.resolve(identities, kind={"store": "card"})
    with pytest.raises(ParameterError, match="kind must be the kind of the ids"):
        log.resolve(identities, kind=["card"])
    parts = log.resolve(identities, kind="card").before("2025-05-03")
    assert parts.resolution.events == len(log)
    assert parts.resolution.to_frame().shape == (1, 7)


def test_an_empty_log_and_no_links():
    log = om.EventLog.from_frame(worlds_log(1))
    nobody = om.identity.Identities.from_links(links(("a:1", "b:2")).iloc[:0])
    pd.testing.assert_frame_equal(log.resolve(nobody).to_frame(), log.to_frame())
    assert log.resolve(nobody).resolution.known_ids == 0
    empty = om.EventLog.from_frame(worlds_log(1).iloc[:0])
    assert len(empty.resolve(om.identity.Identities.from_links(links(("a:1", "b:2"))))) == 0


@pytest.mark.parametrize("kind", [None, "card", {"web": "cookie", "store": "card"}])
@pytest.mark.parametrize("ids", [["k1", "36", "k2"], [1, 2, 3]])
def test_without_any_links_everybody_is_themselves(kind, ids):
    none = links(("cookie:k1", "card:36")).iloc[:0]
    frame = pd.DataFrame({"user_id": ids, "item_id": "tea", "channel": ["web", "store", "web"], "event": "view"})
    log = om.EventLog.from_frame(frame.assign(timestamp=DAY))
    linked = om.identity.Identities.from_links(links(("cookie:a", "card:b")))
    for identities in (om.identity.Identities.from_links(none), linked.without(links(("cookie:a", "card:b")))):
        found = log.resolve(identities, kind=kind)
        assert found.users.ids.tolist() == sorted(ids)
        told = found.resolution
        assert (told.ids, told.known_ids, told.people, told.joined_people) == (3, 0, 3, 0)


# ---- nobody -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nobody", ["null", "Undefined", "0", "(not set)", "00000000-0000-0000-0000-000000000000"])
def test_a_link_through_nobody_joins_nobody_and_is_listed(nobody):
    frame = pd.DataFrame({"kind_a": "cookie", "id_a": ["k1", "k2", "k3"], "kind_b": "user", "id_b": nobody})
    identities = om.identity.Identities.from_links(frame, trusted=["user"], max_ids=None)
    assert identities.n_people == 3
    assert identities.person_of(["k1", "k2", "k3"], kind="cookie").tolist() == ["k1", "k2", "k3"]
    assert identities.links()["status"].tolist() == ["placeholder"] * 3
    assert identities.summary()["placeholder"].tolist() == [3]
    assert repr(identities) == "Identities(4 ids of 2 kinds, 3 people, 3 links, 3 of them rejected)"
    more = identities.updated(links(("cookie:k1", "user:ann"), ("cookie:k2", f"cookie:{nobody}")))
    assert more.n_people == 3
    assert more.as_of("2025-01-01").person_of(["k1"], kind="cookie").tolist() == ["ann"]
    same(more.updated(frame), more)


def test_integers_may_be_numbered_from_zero():
    frame = pd.DataFrame({"kind_a": "cookie", "id_a": [10, 11, 12, 13], "kind_b": "user", "id_b": [0, 0, -1, -1]})
    assert om.identity.Identities.from_links(frame).n_people == 3
