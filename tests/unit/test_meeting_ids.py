"""Where two tables of ids meet: kinds that never meet are refused, and tables that hardly meet are doubted."""

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.data import Interactions
from omnireco.errors import DataWarning, IdKindError, SchemaError
from omnireco.models.cold.new_items import add_new_items
from omnireco.models.cold.segments import SegmentPopularity
from omnireco.models.lists.diversify import quotas

N = 40
DAYS = pd.date_range("2025-05-01 09:30", periods=N, freq="D", tz="UTC")


def events(users, items):
    return om.EventLog.from_frame(
        pd.DataFrame({"user_id": users, "item_id": items, "channel": "web", "event": "view", "timestamp": DAYS})
    )


def people(users):
    return om.Audience.from_frame(
        pd.DataFrame({"user_id": users, "timezone": "Asia/Tokyo", "consent_email": True, "segment": "new"}),
        attributes=["segment"],
    )


def sent(users):
    return om.MessageLog.from_frame(
        pd.DataFrame({"user_id": users, "channel": "email", "sent_at": DAYS, "responded_at": pd.NaT})
    )


def goods(items):
    return om.Catalog.from_frame(pd.DataFrame({"item_id": items, "category": "tea", "price": 1.0}))


def pairs(users, items):
    return Interactions.from_frame(pd.DataFrame({"user_id": users, "item_id": items}))


TEXT = np.array([f"{i}" for i in range(N)])
FAR = np.array([f"c{i}" for i in range(N)])
LOG = events(TEXT, TEXT)
X = LOG.matrix()
LISTS = om.Popularity().fit(X).recommend(X, k=3, exclude_seen=False)

MEET = {  # verbs of the table under test, and of the ids that it is given
    "by_hour": lambda ids: om.timing.by_hour(om.Dataset(LOG, audience=people(ids)), per="day"),
    "by_category": lambda ids: X.by_category(goods(ids)),
    "evaluate": lambda ids: om.evaluate({"m": LISTS}, events(ids, TEXT), k=3, metrics=[om.recall]),
    "evaluate train": lambda ids: om.evaluate(
        {"m": LISTS}, LOG, k=3, metrics=[om.evaluation.novelty], train=events(ids, TEXT)
    ),
    "channel_report": lambda ids: om.evaluation.channel_report(
        LOG, completes="view", segments=pd.DataFrame({"user_id": ids, "segment": "new"})
    ),
    "quotas": lambda ids: quotas(LISTS, goods(ids), k=2, max_per_category=5),
    "segments": lambda ids: SegmentPopularity().fit(om.Dataset(LOG, attributes=pairs(ids, ["new"] * N))),
    "new items": lambda ids: add_new_items(
        om.ALS(factors=2).fit(X), pairs(ids, TEXT), regularization=1.0
    ),
    "infer_zones": lambda ids: om.timing.infer_zones(om.Dataset(LOG, audience=people(ids))),
}  # fmt: skip


@pytest.mark.parametrize("verb", MEET)
def test_integers_and_texts_are_refused(verb):
    with pytest.raises(SchemaError, match=r"are (integers|strings).*astype\(str\)|integers in .*astype\(str\)"):
        MEET[verb](np.arange(N))


@pytest.mark.parametrize(
    "verb", [verb for verb in MEET if verb not in ("evaluate", "evaluate train", "segments", "new items")]
)
def test_tables_that_hardly_meet_are_doubted(verb):
    almost = FAR.copy()
    almost[0] = TEXT[0]
    with pytest.warns(DataWarning, match=r"1 of 40 ids \(2%\) are both in .* and in .*: are they ids of one kind\?"):
        MEET[verb](almost)


@pytest.mark.parametrize("verb", MEET)
def test_tables_that_meet_are_not(verb):
    MEET[verb](TEXT)


def test_a_vocabulary_asked_for_ids_of_another_kind():
    for ask in (lambda: X.rows([1]), lambda: LOG.users.codes([1, 2], missing="none"), lambda: people(TEXT).rows([3])):
        with pytest.raises(IdKindError, match=r"are integers, those known here are strings: they can never match"):
            ask()


def test_logs_of_two_kinds_are_not_joined():
    with pytest.raises(SchemaError, match="users are integers in one and strings in another"):
        om.EventLog.concat([LOG, events(np.arange(N), TEXT)])
    with pytest.raises(SchemaError, match="users are integers in one and strings in another"):
        X.updated(events(np.arange(N), TEXT))
