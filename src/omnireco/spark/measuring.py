"""Ranking metrics of lists in Spark: measured by person on the executors, resampled here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from omnireco._core.checks import check_integer, check_mapping, check_number, count_of, shown
from omnireco.data.recommendations import Recommendations
from omnireco.data.vocabulary import Vocabulary
from omnireco.errors import EmptyError, ParameterError, SchemaError
from omnireco.evaluation.evaluate import check_lengths, check_metrics
from omnireco.evaluation.evaluate import evaluate as measured
from omnireco.evaluation.metrics import Metric, ndcg, recall
from omnireco.evaluation.report import Cell, Report, summarise
from omnireco.spark.shipping import columns_of, fetched, private, spark_frame

__all__ = ["evaluate"]

_WHERE = "om.spark.evaluate"
_PEOPLE = 20_000  # of the truth, that an executor measures at a time


def evaluate(
    lists: Mapping[str, Any],
    truth: Any,
    *,
    k: int | Sequence[int],
    metrics: Sequence[Metric] = (ndcg, recall),
    confidence: float = 0.95,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> Report:
    """Return metrics of ranked lists in Spark, with intervals by person, for several models on the same people.

    Parameters
    ----------
    lists : mapping of str to pyspark.sql.DataFrame
        A name for each model and its lists: ``user_id item_id rank``, such as those of :func:`recommend`.
    truth : pyspark.sql.DataFrame
        What the same people really chose: ``user_id item_id``; a pair that stands twice counts once.
    k : int or sequence of int
        Length of list to evaluate.
    metrics : sequence of callable
        One value per person each; as in ``om.evaluate``.
    confidence, n_bootstrap, seed
        As in ``om.evaluate``.

    Returns
    -------
    Report
        That of ``om.evaluate`` on the same lists, number for number, intervals included; only its ``split`` is empty.

    Raises
    ------
    SchemaError
        When a column is missing or of the wrong kind, an id is missing, ids are numbers on one side and strings on the
        other, or somebody's list names an item twice.
    ParameterError
        When ``k`` exceeds the lists' length, or a metric is one of the catalogue, not of people: evaluate those on this
        machine, on a sample of people.
    EmptyError
        When nobody is left to evaluate, or a model has no list for any of them.

    Notes
    -----
    Lists and truth meet by person (one shuffle); 8 bytes per person, model, metric and k come back, and their ids,
    where they are resampled. For more people than this machine holds, evaluate a sample of them:
    ``truth.where("xxhash64(user_id) % 100 = 0")``. Deterministic.
    """
    ks, named = check_lengths(k), check_metrics(metrics)
    check_number(confidence, "confidence", above=0.0, high=1.0)
    n_bootstrap, seed = check_integer(n_bootstrap, "n_bootstrap", low=0), check_integer(seed, "seed", low=0)
    chosen, given = _checked(lists, truth, max(ks, default=1))
    n_parts = max(1, -(-chosen.select("user_id").distinct().count() // _PEOPLE))
    found = fetched(_by_person(chosen, given, ks, named, n_parts))
    return _report(found, list(given), ks, named, confidence, n_bootstrap, seed)


def _checked(lists: Any, truth: Any, longest: int) -> tuple[Any, dict[str, Any]]:
    """Return the frames with the columns that are needed, checked by kind, and lists long enough."""
    from pyspark.sql import functions as f

    given = check_mapping(lists, "lists", "{'als': lists}")
    if not given:
        raise ParameterError(f"{_WHERE}: lists is empty. Write {{'als': om.spark.recommend(model, events, k=10)}}.")
    truth = spark_frame(truth, _WHERE, "truth", "om.evaluate(lists, truth, k=10)")
    kinds = columns_of(truth, f"{_WHERE}: the truth", user_id="id", item_id="id")
    wide = {name: "string" if kinds[name] == "string" else "bigint" for name in ("user_id", "item_id")}
    ids = [f.col(name).cast(kind).alias(name) for name, kind in wide.items()]  # a narrower number would wrap
    chosen = truth.select(*ids).distinct()
    _complete(chosen, "the truth")
    frames = {}
    for name, frame in given.items():
        where = f"{_WHERE}: the lists of {shown(name)}"
        frame = spark_frame(frame, _WHERE, "lists", "om.evaluate(lists, truth, k=10)")
        theirs = columns_of(frame, where, user_id="id", item_id="id", rank="number")
        for column in ("user_id", "item_id"):
            if (theirs[column] == "string") != (kinds[column] == "string"):
                raise SchemaError(
                    f"{where}: {column} is {theirs[column]} there and {kinds[column]} in the truth, so no two are "
                    f"equal. Cast one of them: frame.withColumn({column!r}, F.col({column!r}).cast('string'))."
                )
        frames[str(name)] = frame.select(*ids, f.col("rank").cast("double").alias("rank"))
        _complete(frames[str(name)], f"the lists of {shown(name)}")
        length = frames[str(name)].groupBy("user_id").count().agg(f.max("count")).first()[0]
        if length is None:
            raise EmptyError(f"{where} are empty: there is nothing to evaluate.")
        if length < longest:
            raise ParameterError(
                f"{_WHERE}: k={longest}, but the lists of {shown(name)} have {length} places. Recommend more, "
                f"om.spark.recommend(model, events, k={longest}), or evaluate at k={length}."
            )
    return chosen, frames


def _complete(frame: Any, what: str) -> None:
    """Refuse missing ids and ranks."""
    from pyspark.sql import functions as f

    lost = frame.agg(*(f.sum(f.col(name).isNull().cast("long")).alias(name) for name in frame.columns)).first()
    for name in frame.columns:
        if lost[name]:
            raise SchemaError(f"{_WHERE}: {name} is missing in {lost[name]:,} rows of {what}. Filter them out.")


def _by_person(chosen: Any, given: dict[str, Any], ks: tuple[int, ...], named: dict[str, Metric], n_parts: int) -> Any:
    """Return one row per person of the truth: its values; and one per part: how many lists nobody could check."""
    from pyspark.sql import functions as f

    part = f.pmod(f.xxhash64(f.col("user_id").cast("string")), f.lit(n_parts))
    ours = chosen.withColumn("part", part)
    theirs: Any = None
    for number, frame in enumerate(given.values()):
        one = frame.withColumn("part", part).withColumn("model", f.lit(number))
        theirs = one if theirs is None else theirs.unionByName(one)
    models = list(given)

    @private
    def one_part(left: Any, right: Any) -> Iterator[Any]:
        yield _values(left, right, models, ks, named)

    def run(left: Any, right: Any) -> Any:
        return next(one_part(left, right))

    kind = chosen.schema["user_id"].dataType.simpleString()
    schema = f"user_id {kind}, value array<double>, silent array<boolean>, strange array<bigint>"
    return ours.groupBy("part").cogroup(theirs.groupBy("part")).applyInArrow(run, schema)


def _values(truth: Any, lists: Any, models: list[str], ks: tuple[int, ...], named: dict[str, Metric]) -> Any:
    """Return the metrics of a part of the people."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = truth.schema.field("user_id").type
    schema = pa.schema(
        [
            ("user_id", kind),
            ("value", pa.list_(pa.float64())),
            ("silent", pa.list_(pa.bool_())),
            ("strange", pa.list_(pa.int64())),
        ]
    )
    numbers = lists.column("model")
    mine = [lists.filter(pc.equal(numbers, number)).drop_columns(["model", "part"]) for number in range(len(models))]
    known = Vocabulary.encode(truth.column("user_id"), "user_id")[0] if truth.num_rows else None
    strange = [_strangers(one, known) for one in mine]
    if known is None:
        return pa.table({"user_id": [None], "value": [None], "silent": [None], "strange": [strange]}, schema=schema)
    opened = {name: _padded(one, known, max(ks)) for name, one in zip(models, mine, strict=True)}
    report = measured(opened, truth.drop_columns(["part"]), k=list(ks), metrics=list(named.values()), n_bootstrap=0)
    for cell in report.cells:
        if cell.values is None:
            raise ParameterError(
                f"{_WHERE}: {cell.metric} is a metric of the catalogue, not of people. "
                "Collect a sample: om.evaluate({'als': sample.toArrow()}, truth, k=10, train=past)."
            )
    table = np.column_stack([np.asarray(cell.values) for cell in report.cells])
    silent = np.column_stack([_silent(opened[name], report.users) for name in models])
    rows = [*strange], *([0] * len(models) for _ in range(len(known) - 1))
    return pa.table(
        {
            "user_id": pa.array(report.users.ids.tolist(), kind),
            "value": table.tolist(),
            "silent": silent.tolist(),
            "strange": [list(row) for row in rows],
        },
        schema=schema,
    )


def _strangers(lists: Any, known: Vocabulary | None) -> int:
    """Return how many people have a list and no truth."""
    if not lists.num_rows:
        return 0
    users = Vocabulary.encode(lists.column("user_id"), "user_id")[0]
    return len(users) if known is None else int((known.codes(users.ids, missing="none") < 0).sum())


def _padded(lists: Any, known: Vocabulary, k: int) -> Recommendations:
    """Return lists of at least ``k`` places of the people in the truth; who has none has an empty one."""
    if not lists.num_rows:
        some = Vocabulary.from_ids([0] if known.ids.dtype != object else ["0"], "item_id")
        shape = (len(known), k)
        return Recommendations(known, some, np.full(shape, -1, np.int32), np.full(shape, -np.inf, np.float32))
    recs = Recommendations.from_frame(lists)
    row, width = recs.users.codes(known.ids, missing="none"), ((0, 1), (0, max(0, k - recs.k)))
    codes = np.pad(np.asarray(recs.codes), width, constant_values=-1)
    scores = np.pad(np.asarray(recs.scores), width, constant_values=-np.inf)
    return Recommendations(known, recs.items, codes[row], scores[row])


def _silent(recs: Recommendations, users: Vocabulary) -> np.ndarray:
    """Return who of some people has no list, bool of shape (n,)."""
    row = recs.users.codes(users.ids, missing="none")
    first = np.append(np.asarray(recs.codes)[:, 0], -1)
    return np.asarray(first[row] < 0)


def _report(
    found: Any,
    models: list[str],
    ks: tuple[int, ...],
    named: dict[str, Metric],
    confidence: float,
    n_bootstrap: int,
    seed: int,
) -> Report:
    """Return the report of values by person, people in the order of their ids."""
    strange = np.array(found.column("strange").to_pylist(), np.int64).reshape(-1, len(models)).sum(0)
    found = found.filter(found.column("user_id").is_valid())
    if not found.num_rows:
        raise EmptyError(f"{_WHERE}: nobody has an item in the truth, so there is nobody to evaluate.")
    users, code = Vocabulary.encode(found.column("user_id"), "user_id")
    place = np.argsort(code)
    flat = found.column("value").combine_chunks().flatten().to_numpy()
    values = flat.reshape(found.num_rows, -1)[place]
    silent = found.column("silent").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    silent = silent.reshape(found.num_rows, -1)
    for name, n in zip(models, silent.sum(0), strict=True):
        if n == found.num_rows:
            raise EmptyError(
                f"{_WHERE}: {shown(name)} has a list for none of the {count_of(found.num_rows, 'person', 'people')} of "
                "the truth. Recommend for them."
            )
    columns = [np.ascontiguousarray(column) for column in values.T]
    mean, low, high, _, n = summarise(list(columns), confidence=confidence, n_bootstrap=n_bootstrap, seed=seed)
    titles = [(model, title, length) for model in models for title in named for length in ks]
    cells = []
    for at, (title, column) in enumerate(zip(titles, columns, strict=True)):
        column.setflags(write=False)
        cells.append(Cell(*title, float(mean[at]), float(low[at]), float(high[at]), int(n[at]), column))
    return Report(
        users=users,
        cells=tuple(cells),
        confidence=confidence,
        n_bootstrap=n_bootstrap,
        seed=seed,
        n_without_list=dict(zip(models, map(int, silent.sum(0)), strict=True)),
        n_without_truth=dict(zip(models, map(int, strange), strict=True)),
    )
