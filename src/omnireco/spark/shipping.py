"""What goes to the executors and what comes back: frames of Spark checked, models as files, errors without people."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any

from omnireco import errors
from omnireco._core.checks import check_columns
from omnireco.data.large.lazy import is_lazy
from omnireco.errors import IdKindError, OmnirecoError, SchemaError
from omnireco.files.io import load_mapped, save

__all__ = [
    "arrow_kind",
    "check_known",
    "check_same_ids",
    "columns_of",
    "fetched",
    "opened",
    "private",
    "renamed",
    "ship",
    "spark_frame",
]

_INTEGERS = ("tinyint", "smallint", "int", "bigint")
_NUMBERS = (*_INTEGERS, "float", "double")


def spark_frame(value: Any, where: str, name: str, instead: str) -> Any:
    """Return a PySpark DataFrame; anything else is an error that names the way of one machine."""
    if not is_lazy(value) or type(value).__module__.partition(".")[0] != "pyspark":
        raise SchemaError(
            f"{where}: {name} must be a PySpark DataFrame. Got {type(value).__name__}: write spark.table({name!r}), or "
            f"{instead} on this machine."
        )
    return value


def renamed(frame: Any, columns: Mapping[str, str] | None) -> Any:
    """Return the frame with our names; ``columns`` maps ours to theirs."""
    back = {str(theirs): str(ours) for ours, theirs in (columns or {}).items()}
    return frame.select(*(frame[f"`{name}`"].alias(back.get(name, name)) for name in frame.columns))


def columns_of(frame: Any, where: str, **kinds: str) -> dict[str, str]:
    """Return the kind of each column in Spark's words; those of ``kinds`` must be there: id, text, number or instant.

    A column whose kind ends in ``?`` may be missing; of kind ``any`` whatever is there is taken.
    """
    found = {field.name: field.dataType.simpleString() for field in frame.schema.fields}
    twice = [name for name in kinds if [field.name for field in frame.schema.fields].count(name.rstrip("?")) > 1]
    if twice:
        raise SchemaError(f"{where}: the column {twice[0]} stands twice, so which is meant? Drop one of them.")
    needed = [name for name, kind in kinds.items() if not kind.endswith("?")]
    other = {name.casefold(): name for name in found if name not in kinds}
    for name in needed:  # Spark finds names in any case, and a frame that leaves it has one
        if name not in found and name in other:
            raise SchemaError(
                f"{where}: the column {name!r} is called {other[name]!r}. Rename it: "
                f"frame.withColumnRenamed({other[name]!r}, {name!r})."
            )
    check_columns(list(found), needed, where)
    wanted = {"id": ("string", *_INTEGERS), "text": ("string",), "number": _NUMBERS, "instant": ("timestamp",)}
    for name, kind in kinds.items():
        if name in found and found[name] not in wanted.get(kind.rstrip("?"), (found[name],)):
            raise SchemaError(f"{where}: {name} is {found[name]}. {_cast(name, kind.rstrip('?'), found[name])}")
    return found


def check_same_ids(kind: str, other: str, where: str, names: tuple[str, str]) -> None:
    """Refuse people who are numbers in one table and strings in another."""
    if (kind == "string") != (other == "string"):
        raise SchemaError(
            f"{where}: user_id is {kind} in the {names[0]} and {other} in the {names[1]}, so no two are equal. Cast "
            "one of them: frame.withColumn('user_id', F.col('user_id').cast('string'))."
        )


def check_known(users: Any, kind: str, where: str) -> None:
    """Refuse people who are numbers in a table and strings in the model, or the reverse: it would know nobody."""
    if len(users) and (users.ids.dtype == object) != (kind == "string"):
        ours = "strings" if users.ids.dtype == object else "integers"
        raise IdKindError(
            f"{where}: user_id is {kind} in the table, and the model knows people by {ours}: they can never match. "
            f"Cast it: frame.withColumn('user_id', F.col('user_id').cast("
            f"{'string' if ours == 'strings' else 'bigint'!r}))."
        )


def arrow_kind(kind: str) -> Any:
    """Return the Arrow type of an id of this kind in Spark."""
    import pyarrow as pa

    of = {"string": pa.string(), "bigint": pa.int64(), "int": pa.int32(), "smallint": pa.int16(), "tinyint": pa.int8()}
    return of[kind]


def _cast(name: str, kind: str, found: str) -> str:
    """Return how to make a column of the right kind."""
    if kind == "instant" and found == "timestamp_ntz":
        return (
            "It has no time zone, so its times are no instants. Say which zone they are in: "
            f"frame.withColumn({name!r}, F.concat(F.col({name!r}).cast('string'), F.lit(' Europe/Berlin'))"
            ".cast('timestamp_ltz'))."
        )
    if kind == "instant" and found in _NUMBERS:
        return f"Say which unit it counts: frame.withColumn({name!r}, F.timestamp_millis(F.col({name!r})))."
    if kind == "id" and found.startswith(("struct", "array", "map")):
        return f"An id is one value, such as a field of it: frame.withColumn({name!r}, F.col('{name}.field'))."
    number = found in ("float", "double") or found.startswith("decimal")
    spark = {"text": "'string'", "number": "'double'", "instant": "'timestamp_ltz'"}
    spark["id"] = "'bigint'" if number else "'string'"
    return f"Cast it: frame.withColumn({name!r}, F.col({name!r}).cast({spark[kind]}))."


def ship(value: Any, context: Any) -> str:
    """Write a value into a file that every executor gets, and return its name there."""
    path = Path(tempfile.mkdtemp(prefix="omnireco")) / f"{type(value).__name__}-{id(value):x}.omni"
    save(value, path)
    context.addFile(str(path))
    return path.name


def opened(name: str) -> Any:
    """Return a value that was shipped: read once in each process of an executor, its arrays in the mapped file."""
    from pyspark import SparkFiles

    return _opened(SparkFiles.get(name))


@lru_cache(maxsize=8)
def _opened(path: str) -> Any:
    return load_mapped(path)


def private(work: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """Return work of an executor whose errors name no person: of other packages' errors only the kind is given."""

    @wraps(work)
    def run(*given: Any) -> Iterator[Any]:
        found: tuple[type[Exception], str]
        try:
            yield from work(*given)
            return
        except OmnirecoError as error:
            found = type(error), str(error)
        except Exception as error:  # noqa: BLE001 - its text may hold a cell of the frame
            found = RuntimeError, f"{type(error).__name__} in a part of the frame; its text could name a person"
        raise found[0](found[1]) from None

    return run


def fetched(frame: Any) -> Any:
    """Return a frame of Spark as Arrow; an error of ours on an executor is the same error here."""
    from pyspark.errors import PythonException

    try:
        return frame.toArrow()
    except PythonException as error:
        found = re.search(r"omnireco\.errors\.(\w+): (.*)", str(error))
        kind = None if found is None else getattr(errors, found.group(1), None)
        if found is None or kind is None:
            raise
        message = found.group(2)
    raise kind(message) from None
