"""Links without a shared key: planted doubles are found; nothing else is."""

import sys

import numpy as np
import pandas as pd
import pytest

import omnireco as om
from omnireco.errors import MissingExtraError, ParameterError, SchemaError

COMPARE = {"name": "name", "email": "email", "birthday": "date"}
BLOCKS = ["birthday", "postcode"]


def world(n=150):
    draw = np.random.default_rng(1)
    first, last = (np.array(words.split()) for words in (
        "anna ben carla david emma frank gina hugo iris jan kira leo mia nils olga paul",
        "schmidt meier weber koch bauer wolf klein lange richter braun vogel kaiser fuchs peters",
    ))  # fmt: skip
    born = pd.Timestamp("1950-01-01") + pd.to_timedelta(draw.integers(0, 20_000, n), unit="D")
    crm = pd.DataFrame(
        {
            "id": [f"c{i}" for i in range(n)],
            "kind": "crm",
            "name": [f"{a} {b}" for a, b in zip(draw.choice(first, n), draw.choice(last, n), strict=True)],
            "birthday": born.strftime("%Y-%m-%d"),
            "postcode": draw.integers(10_000, 10_060, n).astype(str),
        }
    )
    crm["email"] = [f"{name.replace(' ', '.')}{i}@example.org" for i, name in enumerate(crm["name"])]
    shop = crm.iloc[: n // 2].assign(id=[f"s{i}" for i in range(n // 2)], kind="shop")
    shop.loc[draw.random(n // 2) < 0.3, "email"] = None
    shop.loc[draw.random(n // 2) < 0.2, "postcode"] = "10999"
    return pd.concat([crm, shop], ignore_index=True)


def test_planted_doubles_are_found():
    pytest.importorskip("splink", reason='splink is not installed: pip install "omnireco[identity]"')
    records = world()
    links = om.identity.probabilistic_links(records, compare=COMPARE, block_on=BLOCKS)
    right = (links["id_a"].str[1:] == links["id_b"].str[1:]).to_numpy()
    assert right.mean() > 0.97
    assert right.sum() > 0.9 * 75
    assert links["strength"].between(0.9, 1).all()
    again = om.identity.probabilistic_links(records, compare=COMPARE, block_on=BLOCKS)
    pd.testing.assert_frame_equal(links, again)
    identities = om.identity.Identities.from_links(links, trusted=["crm"], min_strength=0.95)
    assert identities.people.ids.astype(str).tolist()[0].startswith("c")


def test_wrong_questions():
    pytest.importorskip("splink", reason='splink is not installed: pip install "omnireco[identity]"')
    records = world(10)
    with pytest.raises(SchemaError, match="probabilistic_links needs the column 'kind'"):
        om.identity.probabilistic_links(records.drop(columns="kind"), compare=COMPARE, block_on=BLOCKS)
    with pytest.raises(ParameterError, match="two columns to compare and two to block on"):
        om.identity.probabilistic_links(records, compare=COMPARE, block_on=["birthday"])
    with pytest.raises(ParameterError, match=r"compare\['name'\] must be one of"):
        om.identity.probabilistic_links(records, compare=COMPARE | {"name": "sounds like"}, block_on=BLOCKS)
    with pytest.raises(SchemaError, match="10 rows repeat an id of a kind"):
        om.identity.probabilistic_links(pd.concat([records.iloc[:10]] * 2), compare=COMPARE, block_on=BLOCKS)
    with pytest.raises(SchemaError, match="takes a frame of records"):
        om.identity.probabilistic_links([1], compare=COMPARE, block_on=BLOCKS)
    assert len(om.identity.probabilistic_links(records.iloc[:1], compare=COMPARE, block_on=BLOCKS)) == 0


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "splink", None)
    with pytest.raises(MissingExtraError, match=r'pip install "omnireco\[identity\]"'):
        om.identity.probabilistic_links(world(10), compare=COMPARE, block_on=BLOCKS)
