"""Ids to codes and back.

Outside the library people, items and channels have ids: integers or strings. Inside they have codes:
positions in a :class:`Vocabulary`. Every array of codes is kept with its vocabulary, so codes can
always be decoded, and two values built from differently ordered rows agree.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from omnireco._core.checks import check_choice, check_flag, count_of, name_rows, shown
from omnireco._core.compute import pays
from omnireco._core.notebook import shown_html
from omnireco._kernels.log.strings import encode_long
from omnireco.errors import DataWarning, IdKindError, ParameterError, SchemaError, UnknownIdError

__all__ = ["NONE", "Vocabulary"]

_MANY = 100_000  # strings from which compiled code is worth loading
_FEW_MATCH, _ENOUGH_TO_WARN = 0.05, 20
_LARGEST = 1 << 63
_LOOKED_UP = 8  # a code that is looked up alone costs so many times what it costs among all
_FEW = 256  # ids looked up one by one: a request of a service for one person, and the items of a visit
_MOST_PLACES = 1 << 20  # texts in a dict, some hundred bytes each

NONE = -1
"""The code of a missing id."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Vocabulary:
    """Unique ids in the order of their codes.

    ``from_frame`` sorts ids, so codes do not depend on the order of the caller's rows.

    Parameters
    ----------
    ids : ndarray of shape (n,), int64 or object (str)
        Unique ids; the code of an id is its position.

    Raises
    ------
    SchemaError
        When the ids are not a one-dimensional array of integers or strings; :meth:`from_ids` reads any column.

    Examples
    --------
    >>> users = Vocabulary.from_ids(["b", "a", "b"])
    >>> users.ids
    array(['a', 'b'], dtype=object)
    >>> users.codes(["b", "a"])
    array([1, 0], dtype=int32)
    >>> users.codes(["b", "z"], missing="none")
    array([ 1, -1], dtype=int32)
    """

    ids: np.ndarray
    _cache: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ids = np.asarray(self.ids)
        if ids.dtype.kind == "U":
            ids = ids.astype(object)
        if (ids.dtype.kind not in "iuO" and ids.size) or ids.ndim != 1:
            raise SchemaError(
                f"Vocabulary takes distinct integers or strings in one dimension. Got {ids.dtype} of shape "
                f"{ids.shape}. Write Vocabulary.from_ids(ids), which also sorts and joins repeats."
            )
        ids = (ids if ids.dtype == object else ids.astype(np.int64, copy=False)).view()
        ids.setflags(write=False)
        object.__setattr__(self, "ids", ids)

    @classmethod
    def from_ids(cls, ids: Iterable[Any], name: str = "ids") -> Vocabulary:
        """Return the vocabulary of the distinct ids, sorted.

        Parameters
        ----------
        ids : array-like of int or str
            A list, array, pandas, polars or pyarrow column.
        name : str
            Name of the column, for errors.

        Raises
        ------
        SchemaError
            When an id is missing, or they are neither all integers nor all strings.
        """
        return cls.encode(ids, name)[0]

    @classmethod
    def encode(cls, column: Any, name: str = "ids", *, allow_missing: bool = False) -> tuple[Vocabulary, np.ndarray]:
        """Return the sorted vocabulary of a column and the code of each row.

        Parameters
        ----------
        column : array-like of int or str, shape (n,)
            Any column: list, numpy, pandas, polars, pyarrow, categorical.
        name : str
            Name of the column, for errors.
        allow_missing : bool
            Whether a missing id becomes code -1 or an error. None, NaN, NaT, pandas.NA and ``""`` are all missing.

        Returns
        -------
        (Vocabulary, ndarray of shape (n,), int32)
        """
        if (plain := _encode_few(column)) is not None:
            return cls(plain[0]), plain[1]
        ids, codes = _encode(_as_arrow(column, name), name)
        if not check_flag(allow_missing, "allow_missing") and (missing := codes == NONE).any():
            raise SchemaError(f"{name} is missing in {name_rows(missing)}. Fill them in upstream, or leave them out.")
        return cls(ids), codes

    def __len__(self) -> int:
        return int(self.ids.size)

    def __contains__(self, value: object) -> bool:
        return self._same_kind(value) and value in self._places()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return self is other or (len(self) == len(other) and self.fingerprint == other.fingerprint)

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return f"Vocabulary({count_of(len(self), ('str' if self.ids.dtype == object else 'int') + ' id')})"

    _repr_html_ = shown_html

    @property
    def fingerprint(self) -> str:
        """A hash of the ids in their order: equal vocabularies have equal fingerprints."""
        if "fingerprint" not in self._cache:
            digest = hashlib.sha256(str(self.ids.dtype).encode())
            if self.ids.dtype == object:
                for value in self.ids:
                    encoded = value.encode("utf-8", "surrogatepass")
                    digest.update(len(encoded).to_bytes(8, "little") + encoded)
            else:
                digest.update(self.ids.tobytes())
            self._cache["fingerprint"] = digest.hexdigest()
        return str(self._cache["fingerprint"])

    def codes(self, ids: Any, *, missing: Literal["raise", "none"] = "raise") -> np.ndarray:
        """Return the code of each id.

        Parameters
        ----------
        ids : array-like of shape (n,)
            Ids of the same kind (integers or strings) as the vocabulary's.
        missing : {"raise", "none"}
            Whether an id that is not here is an error or becomes -1.

        Returns
        -------
        ndarray of shape (n,), int32

        Raises
        ------
        IdKindError
            When integers are looked up among strings, or the reverse: 1 and "1" never match.
        UnknownIdError
            When ids are unknown and ``missing="raise"``. The message counts them and names positions.
        """
        check_choice(missing, "missing", ("raise", "none"))
        if isinstance(ids, Mapping):
            raise ParameterError(f"ids must be a list or column, in an order. Got {shown(ids)}: write list(ids).")
        if isinstance(ids, (list, tuple, np.ndarray)) and len(ids) <= _FEW:
            few = self._few(ids)
            if few is not None and (missing == "none" or NONE not in few):
                return np.array(few, np.int32)
        wanted, rows = _encode(_as_arrow(ids, "ids"), "ids")
        found = np.full(wanted.size + 1, NONE, np.int32)
        if wanted.size and len(self):
            _check_kinds(wanted, self.ids, "the ids given", "those known here", column=None)
            found[:-1] = self._index().get_indexer(wanted)
        codes = found[rows]
        if missing == "raise" and (unknown := codes == NONE).any():
            raise UnknownIdError(
                f"{int(unknown.sum()):,} of {codes.size:,} ids are unknown here: {name_rows(unknown)} of the "
                "ids given. Keep the known ones: [id for id in ids if id in known], where known is the vocabulary at "
                "hand, such as model.items, log.users or audience.users."
            )
        return codes

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Return the id of each code; codes must be 0 or greater."""
        return self.ids[np.asarray(codes)]

    def take(self, codes: np.ndarray) -> Vocabulary:
        """Return the vocabulary of some of the ids, in the order given."""
        return Vocabulary(self.ids[codes])

    def _same_kind(self, value: object) -> bool:
        if self.ids.dtype == object:
            return isinstance(value, str)
        return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))

    def _few(self, ids: Any) -> list[int] | None:
        """Return the codes of a few ids, at a hundredth of the cost of a column; None where one is no id of this kind.

        What is odd is left to the reader of columns, with its words.
        """
        values, places = ids.tolist() if isinstance(ids, np.ndarray) else ids, self._places()
        if not all(map(self._same_kind, values)):
            return None
        if isinstance(places, dict):
            found = [places.get(value, NONE) for value in values]
        else:
            found = [places.get_loc(value) if value in places else NONE for value in values]
        if NONE in found:
            strange = [value for value, code in zip(values, found, strict=True) if code == NONE]
            if not all(v.isascii() if isinstance(v, str) else -_LARGEST <= v < _LARGEST for v in strange):
                return None
        return found

    def _places(self) -> Any:
        """What codes of a few ids are looked up in: a dict of texts, a fifth of the time of an index of pandas.

        Of integers and of very many texts a dict would be too large for a worker.
        """
        if self.ids.dtype != object or self.ids.size > _MOST_PLACES:
            return self._index()
        if "places" not in self._cache:
            self._cache["places"] = dict(zip(self.ids.tolist(), range(self.ids.size), strict=True))
        return self._cache["places"]

    def _index(self) -> Any:
        if "index" not in self._cache:
            import pandas as pd

            self._cache["index"] = pd.Index(self.ids, dtype=self.ids.dtype)
        return self._cache["index"]


def compress(vocabulary: Vocabulary, codes: np.ndarray) -> tuple[Vocabulary, np.ndarray]:
    """Return the vocabulary of the codes that occur, and the codes in it; -1 stays -1."""
    used = np.zeros(len(vocabulary) + 1, np.bool_)
    used[codes] = True
    used[-1] = False
    if used[:-1].all():
        return vocabulary, codes
    table = np.full(len(vocabulary) + 1, NONE, np.int32)
    kept = np.flatnonzero(used)
    table[kept] = np.arange(kept.size, dtype=np.int32)
    return vocabulary.take(kept), table[codes]


def codes_among(known: Vocabulary, codes: np.ndarray, others: Vocabulary) -> np.ndarray:
    """Return codes of one vocabulary as codes of another, -1 for what that lacks; -1 stays -1.

    Of a few codes only their ids are looked up.
    """
    if known is others or known == others:
        return codes
    if _LOOKED_UP * codes.size >= len(known) or known.ids.dtype != others.ids.dtype:
        return np.append(others.codes(known.ids, missing="none"), np.int32(NONE))[codes]
    used, place = np.unique(codes, return_inverse=True)
    found = others.codes(known.ids[used], missing="none")
    if used.size and used[0] == NONE:
        found[0] = NONE
    return found[place]


def unite(parts: Sequence[Vocabulary], name: str) -> tuple[Vocabulary, list[np.ndarray]]:
    """Return the sorted vocabulary of all ids of several, and for each the new code of every old one."""
    present = [part for part in parts if len(part)]
    if len({part.ids.dtype for part in present}) > 1:
        raise SchemaError(f"{name} are integers in one and strings in another. Cast one of them before it is read.")
    if not present:
        return parts[0], [np.empty(0, np.int32) for _ in parts]
    whole, codes = Vocabulary.encode(np.concatenate([part.ids for part in present]), name)
    edges = np.cumsum([len(part) for part in parts])[:-1]
    return whole, np.split(codes, edges)


def match(known: Vocabulary, other: Vocabulary, tables: tuple[str, str], *, column: str = "user_id") -> np.ndarray:
    """Return the code in ``known`` of each id of ``other``, -1 for none, when two tables are joined by id.

    Parameters
    ----------
    known, other : Vocabulary
    tables : (str, str)
        Names of the two, for the message: ``("audience", "events")``.
    column : str
        The id column of a frame, for the advice in errors.

    Raises
    ------
    IdKindError
        When one has integers and the other strings.

    Warns
    -----
    DataWarning
        When fewer than 5 % of the smaller table's ids (and of at least 20) are in the other.
    """
    if not len(known) or not len(other):
        return np.full(len(other), NONE, np.int32)
    if known is other:
        return np.arange(len(other), dtype=np.int32)
    _check_kinds(other.ids, known.ids, f"the ids of {tables[1]}", f"those of {tables[0]}", column)
    codes = known.codes(other.ids, missing="none")
    _warn_of_few(codes != NONE, len(known), tables)
    return codes


def known_to(parts: Sequence[Vocabulary], other: Vocabulary, tables: tuple[str, str]) -> np.ndarray:
    """Return which ids of ``other`` are in any of some tables of people, bool; as :func:`match` refuses and warns."""
    found = np.zeros(len(other), np.bool_)
    present = [part for part in parts if len(part)] if len(other) else []
    for part in present:
        _check_kinds(other.ids, part.ids, f"the ids of {tables[1]}", f"those of {tables[0]}")
        found |= True if part is other else part.codes(other.ids, missing="none") != NONE
    if present:
        _warn_of_few(found, max(map(len, present)), tables)
    return found


def _warn_of_few(known: np.ndarray, n_known: int, tables: tuple[str, str]) -> None:
    """Warn when of one table's ids hardly any is in the other."""
    smaller, found = min(n_known, known.size), int(known.sum())
    if smaller >= _ENOUGH_TO_WARN and found < _FEW_MATCH * smaller:
        warnings.warn(
            f"{found:,} of {smaller:,} ids ({found / smaller:.0%}) are both in {tables[0]} and in {tables[1]}: are "
            "they ids of one kind? Compare some of each; join devices and accounts first with Identities.",
            DataWarning,
            stacklevel=4,
        )


def check_one_kind(one: Vocabulary, other: Vocabulary, tables: tuple[str, str], column: str) -> None:
    """Refuse two tables of which one names people or items by integers and the other by strings."""
    _check_kinds(one.ids, other.ids, f"the ids of {tables[0]}", f"those of {tables[1]}", column)


def _check_kinds(given: np.ndarray, known: np.ndarray, what: str, those: str, column: str | None = "user_id") -> None:
    """Refuse integers against strings: 1 and "1" never match; without a column the ids given are a bare list."""
    if (given.dtype == object) == (known.dtype == object):
        return
    kinds = {True: "strings", False: "integers"}
    raise IdKindError(
        f"{what[0].upper() + what[1:]} are {kinds[given.dtype == object]}, {those} are {kinds[known.dtype == object]}: "
        f"they can never match. {_cast_of(column, known)}"
    )


def _cast_of(column: str | None, known: np.ndarray) -> str:
    """Return the line that makes ids of one kind: those of a table when it is read, or those of a bare list."""
    if column is None:
        return f"Cast those given: [{'str' if known.dtype == object else 'int'}(one) for one in ids]."
    return f"Cast one of them before it is read, for example frame[{column!r}] = frame[{column!r}].astype(str)."


def distinct_codes(vocabulary: Vocabulary, ids: Any) -> np.ndarray:
    """Return the code of each id, when none is named twice: so the selected rows have distinct ids."""
    codes = vocabulary.codes(ids)
    if (n := codes.size - np.unique(codes).size) > 0:
        raise ParameterError(f"rows: {n:,} of {codes.size:,} ids are named twice. Pass each once: pandas.unique(ids).")
    return codes


def is_text(kind: Any) -> bool:
    """Return whether a pyarrow type is one of strings."""
    import pyarrow.types as pt

    return bool(pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind))


def no_text(array: Any) -> Any:
    """Return a pyarrow mask of the cells of a column of strings that are missing: null, or the empty text."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as pt

    plain = array.cast(pa.large_string()) if pt.is_string_view(array.type) else array  # views have no such kernel
    return pc.fill_null(pc.equal(plain, ""), True)


def is_long_text(array: Any) -> bool:
    """Return whether a pyarrow column holds strings enough for compiled code, which reads chunks where they lie."""
    return is_text(array.type) and pays(len(array), _MANY)


def _as_arrow(column: Any, name: str) -> Any:
    """Return any column as one pyarrow Array (long strings in chunks as they are), or explain why it cannot be ids."""
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray):
        return column if is_long_text(column) else column.combine_chunks()
    if isinstance(column, pa.Array):
        return column
    if isinstance(column, (str, bytes)) or not isinstance(column, Iterable):
        raise ParameterError(f"{name} must be a list or column, not one {type(column).__name__}: write [id].")
    if hasattr(column, "columns"):
        raise ParameterError(f"{name} must be one column, not a whole frame: pass frame['user_id'].")
    if hasattr(column, "to_arrow"):
        column = column.to_arrow()
        return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if not hasattr(column, "dtype"):
        column = list(column)
    try:
        array = pa.array(column, from_pandas=True)
    except (pa.ArrowException, ArithmeticError, UnicodeError, TypeError, ValueError) as error:
        raise SchemaError(
            f"{name} holds values of several kinds, or none that can be an id ({type(error).__name__}). "
            f"Make them all strings: frame[{name!r}].astype(str), or all integers."
        ) from None
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _encode_few(column: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the sorted distinct ids of a short list and the code of each; None where it is not plain."""
    if not isinstance(column, (list, tuple, np.ndarray)) or not 0 < len(column) <= _FEW:
        return None
    values = column.tolist() if isinstance(column, np.ndarray) else column
    if all(type(value) is int and -_LARGEST <= value < _LARGEST for value in values):
        if isinstance(column, np.ndarray) and column.dtype.kind not in "iu":
            return None
        kind: Any = np.int64
    elif all(type(value) is str and value and value.isascii() for value in values):
        kind = object
    else:
        return None
    known = sorted(set(values))
    place = {value: code for code, value in enumerate(known)}
    return np.array(known, kind), np.array([place[value] for value in values], np.int32)


def _encode(array: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted distinct ids of a pyarrow Array and the int32 code of each row (-1 for a missing one)."""
    import pyarrow.types as pt

    if pt.is_dictionary(array.type):
        return _encode_dictionary(array, name)
    if array.null_count == len(array):  # also an empty column, which pandas makes float64: it has no kind
        return np.empty(0, object), np.full(len(array), NONE, np.int32)
    if pt.is_integer(array.type):
        return _encode_integers(array, name)
    if is_text(array.type):
        return _without_empty(*_encode_strings(array))
    if (whole := whole_ids(array)) is not None:
        return _encode(whole, name)
    raise SchemaError(f"{name} must hold integers or strings. Got {kind_of(array)}. {_id_fix(array, name)}")


def kind_of(array: Any) -> str:
    """Return the type of an arrow array in a word; the fields of a nested one may be named after people."""
    import pyarrow.types as pt

    return "nested values" if pt.is_nested(array.type) else str(array.type)


def _without_empty(ids: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return sorted strings without the empty one, which is no id but a missing one: it sorts before all others."""
    if not ids.size or ids[0] != "":
        return ids, codes
    return ids[1:], np.maximum(codes - np.int32(1), np.int32(NONE))


def whole_ids(array: Any) -> Any:
    """Return the integers that gaps had turned into floats, as a pyarrow Array with the gaps; None where it is not so.

    pandas has no gaps among integers unless it is asked for ``"Int64"``. Every number must be whole and below 2**53,
    where each float still is one integer; and a column without a gap is floats because somebody wanted floats.
    """
    import pyarrow as pa
    import pyarrow.types as pt

    if not pt.is_floating(array.type):
        return None
    values = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    missing = np.isnan(values)
    whole = missing | ((np.abs(values) < 2**53) & (values == np.floor(values)))
    if not missing.any() or not whole.all():
        return None
    return pa.array(np.where(missing, 0, values).astype(np.int64), mask=missing)


def _id_fix(array: Any, name: str) -> str:
    import pyarrow.types as pt

    if pt.is_floating(array.type):
        return _float_fix(array, name)
    if pt.is_decimal(array.type):
        return _cast(name, "int64")
    if pt.is_binary(array.type) or pt.is_large_binary(array.type):
        return f"Decode them: frame[{name!r}].str.decode('utf-8')."
    return _cast(name, "str")


def _float_fix(array: Any, name: str) -> str:
    values = array.to_numpy(zero_copy_only=False).astype(np.float64)  # arrow knows no NaN of half floats
    large = np.abs(values) >= 2**53
    if large.any():
        return (
            f"Floats no longer tell integers above 2**53 apart, as in {name_rows(large)}. Read the column again, as "
            f"text: pd.read_csv(path, dtype={{{name!r}: str}})."
        )
    broken = ~np.isnan(values) & (values != np.floor(values))
    if broken.any():
        return f"Numbers that are not whole are no ids: {name_rows(broken)}. {_cast(name, 'str')}"
    return _cast(name, "int64")


def _cast(name: str, kind: str) -> str:
    return f"Cast them: frame[{name!r}].astype({kind!r})."


def _encode_dictionary(array: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    import pyarrow as pa

    ids, code_of_entry = _encode(array.dictionary, name)
    signed = array.indices  # polars counts its categories with unsigned numbers
    if signed.type not in (pa.int8(), pa.int16(), pa.int32()):
        narrow = signed.type in (pa.uint8(), pa.uint16(), pa.uint32()) and len(array.dictionary) < 2**31
        signed = signed.cast(pa.int32() if narrow else pa.int64())
    entry = (signed.fill_null(-1) if signed.null_count else signed).to_numpy(zero_copy_only=False)
    codes = np.append(code_of_entry, np.int32(NONE))[entry]
    vocabulary, codes = compress(Vocabulary(ids), codes)
    return vocabulary.ids, codes


def _encode_integers(array: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    import pyarrow as pa

    valid = None
    if array.null_count:
        valid = array.is_valid().to_numpy(zero_copy_only=False)
        array = array.drop_null()
    try:
        values = array.cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid:
        raise SchemaError(f"{name} holds integers above 2**63 - 1. {_cast(name, 'str')}") from None
    ids, codes = distinct_integers(values)
    if valid is None:
        return ids, codes
    full = np.full(valid.size, NONE, np.int32)
    full[valid] = codes
    return ids, full


def distinct_integers(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted distinct integers and codes; a table lookup when their range is small."""
    if values.size == 0:
        return np.empty(0, np.int64), np.empty(0, np.int32)
    low, high = int(values.min()), int(values.max())
    if high - low <= 4 * values.size + 1_000_000:
        table = np.zeros(high - low + 1, np.bool_)
        offset = values - low
        table[offset] = True
        positions = np.flatnonzero(table)
        lookup = np.empty(table.size, np.int32)
        lookup[positions] = np.arange(positions.size, dtype=np.int32)
        return positions + low, lookup[offset]
    import pandas as pd

    first_codes, uniques = pd.factorize(values)
    order = np.argsort(uniques)
    rank = np.empty(order.size, np.int32)
    rank[order] = np.arange(order.size, dtype=np.int32)
    return uniques[order], rank[first_codes]


def _encode_strings(array: Any) -> tuple[np.ndarray, np.ndarray]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as pt

    if pays(len(array), _MANY) and (coded := encode_long(array)) is not None:
        return coded
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pt.is_string_view(array.type):
        array = array.cast(pa.large_string())
    encoded = array.dictionary_encode()
    order = pc.array_sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(order.size + 1, np.int32)
    rank[order] = np.arange(order.size, dtype=np.int32)
    rank[-1] = NONE
    first_codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    ids = np.empty(order.size, object)
    ids[:] = encoded.dictionary.take(pa.array(order)).to_pylist()
    return ids, rank[first_codes]
