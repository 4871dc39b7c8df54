"""Links one by one: what each rule does to a link, by hand; people as a whole are in test_identities.py."""

import numpy as np
import pandas as pd
import pytest

from omnireco.errors import ParameterError, SchemaError
from omnireco.identity.linking import STATUS, LinkRules, ends_of, group, joined, judge, read_links

DAYS = pd.to_datetime(["2025-05-01", "2025-05-20", None], utc=True)
FRAME = pd.DataFrame(
    {
        "id_a": ["c1", "c2", "c3"],
        "kind_a": "cookie",
        "id_b": ["k1", "k1", "k2"],
        "kind_b": "card",
        "strength": [1.0, 0.4, 0.9],
        "linked_at": DAYS,
    }
)


def judged(rules, frame=FRAME, at=None):
    """The status of each link, and the groups of ids that are left, each sorted."""
    links = read_links(frame, "test", None)
    nodes, a, b = ends_of(links)
    kind, text = nodes // len(links.ids), nodes % len(links.ids)
    at_us = None if at is None else pd.Timestamp(at, tz="UTC").value // 1000
    status = judge(rules, links.kinds, kind, a, b, links.strength, links.linked_at, at_us)
    order = np.lexsort([b, a])
    label, left = group(rules, links.kinds, kind, a[order], b[order], links.strength[order], status[order])
    status[order] = left
    groups = [sorted(links.ids.ids[text[label == one]]) for one in np.unique(label)]
    return [STATUS[code] for code in status], sorted(groups)


def test_every_link_counts_without_rules():
    assert judged(LinkRules()) == (["used"] * 3, [["c1", "c2", "k1"], ["c3", "k2"]])


def test_a_weak_link_joins_nobody():
    assert judged(LinkRules(min_strength=0.5)) == (["used", "weak", "used"], [["c1", "k1"], ["c2"], ["c3", "k2"]])
    of_two_kinds_the_stricter = LinkRules(min_strength={"card": 0.95, "cookie": 0.2})
    assert judged(of_two_kinds_the_stricter)[0] == ["used", "weak", "weak"]


def test_an_old_link_expires_and_a_link_without_a_time_does_not():
    assert judged(LinkRules(expiry="7D"))[0] == ["expired", "used", "used"]  # as of the newest link
    assert judged(LinkRules(expiry="7D"), at="2025-05-05")[0] == ["used", "later", "used"]


def test_a_link_at_the_cut_is_not_known_yet():
    assert judged(LinkRules(), at="2025-05-20")[0] == ["used", "later", "used"]


def test_a_shared_card_joins_nobody():
    assert judged(LinkRules(max_links={"card": 1})) == (
        ["shared", "shared", "used"],
        [["c1"], ["c2"], ["c3", "k2"], ["k1"]],
    )
    assert judged(LinkRules(max_links={("card", "device"): 1}))[0] == ["used"] * 3  # of another kind than counted


def test_a_group_too_large_loses_its_weakest_link():
    assert judged(LinkRules(max_ids=2)) == (
        ["used", "oversized", "used"],
        [["c1", "k1"], ["c2"], ["c3", "k2"]],
    )


def test_links_of_two_tables_stand_one_after_the_other():
    first, second = read_links(FRAME.head(1), "test", None), read_links(FRAME.tail(2), "test", None)
    both, whole = joined(first, second), read_links(FRAME, "test", None)
    for name in ("id_a", "id_b"):
        assert both.ids.ids[getattr(both, name)].tolist() == whole.ids.ids[getattr(whole, name)].tolist()
    assert both.strength.tolist() == whole.strength.tolist()
    assert both.take(np.array([2])).strength.tolist() == [0.9]


def test_rules_name_their_kinds():
    rules = LinkRules(max_links={"device": 3, ("cookie", "card"): 2}, expiry={"card": "30D"}, min_strength=0.1)
    assert rules.kinds() == [("max_links", ["device", "cookie", "card"]), ("expiry", ["card"])]


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ({"max_ids": 0}, "max_ids must be"),
        ({"max_links": {("a", "b", "c"): 1}}, "max_links must map kinds, or pairs of kinds"),
        ({"max_links": {"card": -1}}, "max_links"),
        ({"min_strength": 1.5}, "min_strength must be"),
        ({"min_strength": {"card": 2}}, "min_strength"),
        ({"expiry": {"card": "soon"}}, "expiry"),
    ],
)
def test_refusals(rules, says):
    with pytest.raises(ParameterError, match=says):
        LinkRules(**rules)


def test_a_strength_is_a_share():
    with pytest.raises(SchemaError, match=r"strength must lie in \[0, 1\].*Divide a percentage by 100"):
        read_links(FRAME.assign(strength=40.0), "test", None)
