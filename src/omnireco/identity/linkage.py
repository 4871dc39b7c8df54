"""Links between records that share no key, estimated by Splink: an optional first step before ``Identities``."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from omnireco._core.checks import check_choice, check_columns, check_integer, check_names, check_number, require, shown
from omnireco.errors import ParameterError, SchemaError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["probabilistic_links"]

_log = logging.getLogger(__name__)
_KINDS = ("exact", "name", "email", "date", "postcode", "text")
_FEW = 2


def probabilistic_links(
    records: Any,
    *,
    compare: Mapping[str, str],
    block_on: Iterable[str],
    min_probability: float = 0.9,
    prior: float | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Return links between records that are probably one person, with the probability as their strength.

    For two customer lists with names, addresses and birthdays, and no common id.

    Parameters
    ----------
    records : pandas frame
        One row per record: ``id``, ``kind`` (as in ``Identities.from_links``), and the columns to compare, as text. A
        missing value is no evidence for or against a match.
    compare : mapping of str to {"exact", "name", "email", "date", "postcode", "text"}
        How to compare each column: exact equality; similar names; addresses by user and domain; dates (written
        ``2000-12-31``) with swapped digits; postcodes by area; similar text (Jaro-Winkler).
    block_on : iterable of str
        Blocking keys, two or more: only pairs that agree on one of them are compared, so others are never found. Each
        is estimated with another one fixed.
    min_probability : float
        Pairs below are left out.
    prior : float, optional
        The prior probability that two random records are one person; estimated from pairs that agree on all of
        ``block_on`` where it is not given.
    seed : int
        Seed of the random pairs by which chance agreement is estimated.

    Returns
    -------
    pandas.DataFrame
        ``id_a kind_a id_b kind_b strength``, for ``Identities.from_links``, strongest first.

    Raises
    ------
    MissingExtraError
        When Splink is not installed: ``pip install "omnireco[identity]"``.
    SchemaError, ParameterError
        When a column is missing, an id of a kind is repeated, or fewer than two columns are compared or blocked on.

    Notes
    -----
    Fellegi and Sunter (1969), "A theory for record linkage": the weight of a pair is the sum over columns of
    log2(m / u), m estimated by expectation maximisation without labels, u from random pairs; by the Splink library on
    DuckDB. An estimate, less reliable with fewer records: choose ``min_strength`` by the cost of a
    wrong merge. Columns must be roughly conditionally independent given the match status.
    """
    splink = require("splink", extra="identity", purpose="probabilistic_links")
    import pandas as pd

    share = check_number(min_probability, "min_probability", low=0, high=1)
    blocks = check_names(block_on, "block_on")
    if not hasattr(records, "columns"):
        raise SchemaError(f"probabilistic_links takes a frame of records. Got {type(records).__name__}.")
    frame = pd.DataFrame(records) if not hasattr(records, "to_pandas") else records.to_pandas()
    check_columns(frame.columns, ["id", "kind", *compare, *blocks], "probabilistic_links")
    if len(compare) < _FEW or len(blocks) < _FEW:
        raise ParameterError(
            "probabilistic_links needs two columns to compare and two to block on, or nothing can be estimated. Got "
            f"{len(compare)} and {len(blocks)}."
        )
    for column, how in compare.items():
        check_choice(how, f"compare[{shown(column)}]", _KINDS)
    if (twice := int(frame.duplicated(["kind", "id"]).sum())) > 0:
        raise SchemaError(
            f"probabilistic_links: {twice:,} rows repeat an id of a kind. Keep one row each: "
            "records.drop_duplicates(['kind', 'id'])."
        )
    empty = pd.DataFrame({"id_a": [], "kind_a": [], "id_b": [], "kind_b": [], "strength": []})
    if len(frame) < _FEW:
        return empty
    pairs = _pairs(splink, frame, compare, blocks, share, prior, check_integer(seed, "seed", low=0))
    ids, kinds = frame["id"].to_numpy(), frame["kind"].to_numpy()
    one, other = pairs["unique_id_l"].to_numpy("int64"), pairs["unique_id_r"].to_numpy("int64")
    links = pd.DataFrame(
        {
            "id_a": ids[one],
            "kind_a": kinds[one],
            "id_b": ids[other],
            "kind_b": kinds[other],
            "strength": pairs["match_probability"].to_numpy("float64").clip(0, 1),
        }
    )
    _log.info("found %d probable links among %d records", len(links), len(frame))
    return links


def _pairs(
    splink: Any,
    frame: pd.DataFrame,
    compare: Mapping[str, str],
    blocks: tuple[str, ...],
    share: float,
    prior: float | None,
    seed: int,
) -> pd.DataFrame:
    """Return Splink's pairs of row numbers with their probability."""
    from splink import comparison_library as by

    ways: dict[str, Any] = {
        "exact": by.ExactMatch,
        "name": by.NameComparison,
        "email": by.EmailComparison,
        "date": lambda column: by.DateOfBirthComparison(column, input_is_string=True),
        "postcode": by.PostcodeComparison,
        "text": by.JaroWinklerAtThresholds,
    }
    table = frame[list(dict.fromkeys([*compare, *blocks]))].astype("string").astype(object)
    table = table.where(table.notna(), None)
    table.insert(0, "unique_id", range(len(table)))
    settings = splink.SettingsCreator(
        link_type="dedupe_only",
        comparisons=[ways[how](column) for column, how in compare.items()],
        blocking_rules_to_generate_predictions=[splink.block_on(column) for column in blocks],
        retain_matching_columns=False,
        **({} if prior is None else {"probability_two_random_records_match": prior}),
    )
    engine = splink.DuckDBAPI()
    linker = splink.Linker(engine.register(table), settings, log_level=logging.ERROR)
    training = linker.training
    if prior is None:
        training.estimate_probability_two_random_records_match([splink.block_on(*blocks)], recall=0.5)
    training.estimate_u_using_random_sampling(max_pairs=1e6, seed=seed)
    for column in blocks:
        training.estimate_parameters_using_expectation_maximisation(splink.block_on(column))
    found = linker.inference.predict(threshold_match_probability=share).as_pandas_dataframe()
    return found.sort_values(["match_probability", "unique_id_l", "unique_id_r"], ascending=[False, True, True])
