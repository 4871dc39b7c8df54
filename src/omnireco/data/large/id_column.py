"""One column of ids, met batch by batch: codes by first occurrence, and the sorted vocabulary in the end."""

from __future__ import annotations

from typing import Any

import numpy as np

from omnireco._core.checks import name_rows
from omnireco._kernels.log.strings import Coder, buffers, order_of, strings_of, words_for
from omnireco.data.frames.columns import Frame
from omnireco.data.vocabulary import NONE, Vocabulary, whole_ids
from omnireco.errors import IdKindError, SchemaError

__all__ = ["IdColumn"]

_WORDS = 32  # ids of up to 255 bytes


class IdColumn:
    """The ids of a column so far.

    Parameters
    ----------
    name : str
    may_miss : bool
        Whether a missing id is code -1 or an error.
    """

    def __init__(self, name: str, *, may_miss: bool = False) -> None:
        self.name, self.may_miss = name, may_miss
        self.kind = ""
        self.coder = Coder(1)

    @property
    def n(self) -> int:
        """How many distinct ids there are."""
        return self.coder.n

    def codes(self, frame: Frame) -> np.ndarray:
        """Return the codes of a batch, int32, -1 for a missing id."""
        array = frame.columns[self.name]
        if hasattr(array, "combine_chunks"):  # a long column of strings comes in chunks; a batch is one
            array = array.combine_chunks()
        codes = self._codes(array, frame.where)
        if not self.may_miss and (missing := codes == NONE).any():
            raise SchemaError(
                f"{frame.where}: {self.name} is missing in {name_rows(missing)} of this batch. Leave such rows out "
                "when the files are written" + (", or pass itemless='keep'." if self.name == "item_id" else ".")
            )
        return codes

    def vocabulary(self) -> tuple[Vocabulary, np.ndarray]:
        """Return the sorted ids, and the new code of every old one."""
        if self.kind == "integers":
            values = self.coder.known.view(np.int64)
            order = np.argsort(values, kind="stable")
            ids: np.ndarray = values[order]
        else:
            keys = self.coder.known.reshape(-1, self.coder.words)
            order = order_of(keys)
            ids = strings_of(keys[order])
        rank = np.empty(order.size, np.int32)
        rank[order] = np.arange(order.size, dtype=np.int32)
        return Vocabulary(ids), rank

    def _codes(self, array: Any, where: str) -> np.ndarray:
        import pyarrow as pa
        import pyarrow.types as pt

        kind = array.type
        if pt.is_dictionary(kind):
            table = np.append(self._codes(array.dictionary, where), np.int32(NONE))
            index = array.indices.fill_null(-1) if array.indices.null_count else array.indices
            return table[index.cast(pa.int64()).to_numpy()]
        if pt.is_null(kind):
            return np.full(len(array), NONE, np.int32)
        if pt.is_integer(kind):
            self._agree("integers", where)
            return self._integers(array, where)
        if pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind):
            self._agree("strings", where)
            return self._strings(array.cast(pa.large_string()) if pt.is_string_view(kind) else array, where)
        if (whole := whole_ids(array)) is not None:
            return self._codes(whole, where)
        raise SchemaError(
            f"{where}: {self.name} must hold integers or strings. Got {kind}. Cast the column when the file is written."
        )

    def _agree(self, kind: str, where: str) -> None:
        if self.kind and self.kind != kind:
            raise IdKindError(
                f"{where}: {self.name} holds {kind} here and {self.kind} in files before it. "
                "Write it as one kind in all files."
            )
        self.kind = kind

    def _integers(self, array: Any, where: str) -> np.ndarray:
        import pyarrow as pa

        present = array.drop_null() if array.null_count else array
        try:
            values = present.cast(pa.int64()).to_numpy()
        except pa.ArrowInvalid:
            raise SchemaError(f"{where}: {self.name} holds integers above 2**63 - 1. Write them as strings.") from None
        found = np.empty(values.size, np.int32)
        self.coder.code_words(np.ascontiguousarray(values).view(np.uint64), found)
        if present is array:
            return found
        codes = np.full(len(array), NONE, np.int32)
        codes[np.asarray(array.is_valid().to_numpy(zero_copy_only=False), np.bool_)] = found
        return codes

    def _strings(self, array: Any, where: str) -> np.ndarray:
        import pyarrow as pa
        import pyarrow.compute as pc

        empty = pc.equal(array, "")
        if pc.any(empty).as_py():  # no id but a missing one
            array = pc.if_else(empty, pa.scalar(None, array.type), array)
        data, offsets, valid = buffers(array)
        words = words_for(offsets)
        if words > _WORDS:
            raise SchemaError(f"{where}: {self.name} holds an id of more than 255 bytes. Hash such ids before.")
        if words > self.coder.words:
            self.coder.widen(words)
        codes = np.empty(len(array), np.int32)
        self.coder.code_strings(data, offsets, valid, 0, len(array), codes)
        return codes
