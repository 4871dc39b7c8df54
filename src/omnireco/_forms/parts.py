"""What a value is taken apart into: named arrays, and small fields that fit in JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from omnireco._checks import check_duration
from omnireco.data.vocabulary import Vocabulary

__all__ = [
    "Reader",
    "Writer",
    "plain",
]


@dataclass(slots=True)
class Writer:
    """Collects the parts of a value: named arrays, and small fields that fit in JSON."""

    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)

    def array(self, name: str, array: np.ndarray | None) -> None:
        if array is not None:
            self.arrays[name] = np.ascontiguousarray(array)

    def vocabulary(self, name: str, vocabulary: Vocabulary) -> None:
        if vocabulary.ids.dtype != object:
            self.arrays[name] = vocabulary.ids
            return
        encoded = [text.encode("utf-8", "surrogatepass") for text in vocabulary.ids]
        self.arrays[name + "/text"] = np.frombuffer(b"".join(encoded), np.uint8)
        self.arrays[name + "/ends"] = np.cumsum([len(text) for text in encoded], dtype=np.int64)

    def csr(self, name: str, matrix: sp.csr_matrix) -> None:
        for part in ("data", "indices", "indptr"):
            self.arrays[f"{name}/{part}"] = getattr(matrix, part)
        self.fields[name] = list(matrix.shape)

    def labels(self, name: str, labels: Mapping[str, tuple[Vocabulary, np.ndarray]]) -> None:
        self.fields[name] = list(labels)
        for position, (vocabulary, codes) in enumerate(labels.values()):
            self.vocabulary(f"{name}/{position}/ids", vocabulary)
            self.array(f"{name}/{position}/codes", codes)


@dataclass(frozen=True, slots=True)
class Reader:
    """Hands the parts back."""

    fields: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]

    def array(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def parts(self, vocabularies: Iterable[str], arrays: Iterable[str]) -> dict[str, Any]:
        """Return named vocabularies and arrays, ready to be passed by keyword."""
        return {name: self.vocabulary(name) for name in vocabularies} | {name: self.arrays[name] for name in arrays}

    def optional(self, name: str) -> np.ndarray | None:
        return self.arrays.get(name)

    def vocabulary(self, name: str) -> Vocabulary:
        if name in self.arrays:
            return Vocabulary(self.arrays[name])
        text, ends = self.arrays[name + "/text"].tobytes(), self.arrays[name + "/ends"].tolist()
        ids = np.empty(len(ends), object)
        ids[:] = [text[a:b].decode("utf-8", "surrogatepass") for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        return Vocabulary(ids)

    def csr(self, name: str) -> sp.csr_matrix:
        parts = tuple(self.arrays[f"{name}/{part}"] for part in ("data", "indices", "indptr"))
        matrix = sp.csr_matrix(parts, tuple(self.fields[name]))
        matrix.check_format(full_check=True)
        return matrix

    def labels(self, name: str) -> dict[str, tuple[Vocabulary, np.ndarray]]:
        return {
            label: (self.vocabulary(f"{name}/{position}/ids"), self.array(f"{name}/{position}/codes"))
            for position, label in enumerate(self.fields[name])
        }


def plain(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return parameters with durations written as JSON has them."""
    import datetime as dt

    kinds = (dt.timedelta, np.timedelta64)
    return {
        name: f"{check_duration(value, name)}us" if isinstance(value, kinds) else value
        for name, value in parameters.items()
    }
