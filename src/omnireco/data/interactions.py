"""Users x items: one sparse matrix that knows its ids, with a layer per channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import scipy.sparse as sp

from omnireco._core.arrow import arrow_stream
from omnireco._core.checks import as_csr, check_choice, check_flag, check_number, count_of
from omnireco._core.frozen import ReadOnly
from omnireco._core.notebook import shown_rows
from omnireco._core.parts import Maybe, Parts, declare
from omnireco._core.small import INSTANT, Settings, Table
from omnireco._kernels import damping
from omnireco._kernels.log.cells import Coded, raw_csr, sum_cells
from omnireco.data.catalog import Catalog
from omnireco.data.frames.columns import open_frame
from omnireco.data.frames.few_rows import few_pairs
from omnireco.data.large.update import updated_cells
from omnireco.data.parts import Ids, Matrix
from omnireco.data.shapes import Events
from omnireco.data.vocabulary import NONE, Vocabulary, distinct_codes, match
from omnireco.data.weights import Weights
from omnireco.errors import ParameterError, SchemaError

Weighting = Literal["log1p", "tfidf", "bm25"]

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Interactions"]

_FEW_CELLS = 8  # a cell costs so many times what an item costs that is looked up with all others


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Interactions:
    """The behaviour matrix: users x items with its vocabularies and one layer per channel.

    Some of its rows are a *history*: what a model predicts the next items from.

    Parameters
    ----------
    users, items : Vocabulary
        The ids of rows and columns.
    csr : scipy.sparse.csr_matrix of shape (n_users, n_items), float32
        Read-only, with sorted indices, summed duplicates and no stored zeros.
    layers : mapping of str to csr_matrix
        One matrix of the same shape per channel; their sum equals ``csr``. A matrix made without channels
        has the single layer ``"all"``.
    at_us : int or None
        The clock of the decay, UTC microseconds, when it was built from a log.
    targets : csr_matrix of shape (n_users, n_items), float32, or None
        With it, ``csr`` says how much each cell counts (above 0) and this its target: 1 wanted, 0 not wanted,
        in [-1, 1]. The same cells in the same order, stored zeros included. Without it, the numbers of ``csr`` say
        both. Made by ``Weights(targets=...)``, or a column ``target``.
    weights : Weights or None
        What the events of a log were worth, for :meth:`updated`.

    Examples
    --------
    >>> import pandas as pd
    >>> x = Interactions.from_frame(pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["tea", "cup", "tea"]}))
    >>> x
    Interactions(2 users x 2 items, 3 cells, 1 layer)
    >>> x.rows([2]).to_scipy().toarray()
    array([[0., 1.]], dtype=float32)
    """

    users: Vocabulary
    items: Vocabulary
    csr: sp.csr_matrix
    layers: Mapping[str, sp.csr_matrix]
    at_us: int | None = None
    targets: sp.csr_matrix | None = None
    weights: Weights | None = None

    parts: ClassVar[Parts] = {
        "users": Ids(people=True),
        "items": Ids(),
        "csr": Matrix("users", "items"),
        "layers": Table(Maybe(Matrix("users", "items"))),
        "at_us": Maybe(INSTANT),
        "targets": Maybe(Matrix("users", "items")),
        "weights": Maybe(Settings(Weights)),
    }

    def __post_init__(self) -> None:
        given, layers = self.csr, dict(self.layers)
        object.__setattr__(self, "layers", {name: layer for name, layer in layers.items() if layer is not given})
        declare(self)
        kept = {name: self.csr if layer is given else self.layers[name] for name, layer in layers.items()}
        object.__setattr__(self, "layers", ReadOnly(kept))
        if self.targets is not None:
            _check_targets(self.csr, self.targets)

    @classmethod
    def from_frame(cls, frame: Any, *, columns: Mapping[str, str] | None = None, binary: bool = False) -> Interactions:
        """Read user-item pairs.

        Parameters
        ----------
        frame : pandas, polars or pyarrow frame
            Columns ``user_id`` and ``item_id``, optionally ``weight`` (a number, 1 where absent), ``channel`` (a
            string; gives one layer per channel) and ``target`` (in [-1, 1]: likes 1, dislikes 0, grades between; then
            weights must be above 0). Pairs that occur several times are summed, their targets averaged by weight.
        columns : mapping of str to str, optional
            Our name to yours.
        binary : bool
            Make every pair whose weights sum to more than 0 weigh 1.

        Raises
        ------
        SchemaError
            When a column is missing or of the wrong kind, or an id or weight is missing.
        """
        if columns is None and (few := few_pairs(frame)) is not None:
            return cls.from_cells(few.users, few.items, few.cells, binary=check_flag(binary, "binary"))
        opened = open_frame(
            frame,
            "Interactions.from_frame",
            needed=("user_id", "item_id"),
            optional=("weight", "channel", "target"),
            columns=columns,
        )
        users, user = opened.ids("user_id")
        items, item = opened.ids("item_id")
        once = "Fill them in upstream, or count such a row once: frame['weight'].fillna(1)."
        weight = opened.numbers("weight", once) if "weight" in opened else np.ones(user.size)
        channels, channel = opened.names("channel") if "channel" in opened else (None, None)
        target = opened.numbers("target") if "target" in opened else None
        if target is not None and (bad := int(((weight <= 0) | (np.abs(target) > 1)).sum())):
            raise SchemaError(
                f"Interactions.from_frame: {bad:,} of {weight.size:,} rows have a target outside [-1, 1], or a weight "
                "that is not above 0. Scale ratings first: (rating - 1) / 4; leave rows of weight 0 out."
            )
        return cls.from_cells(
            users,
            items,
            Coded(user, item, channel, weight),
            channels=channels,
            target=target,
            binary=check_flag(binary, "binary"),
        )

    @classmethod
    def from_scipy(cls, matrix: Any, *, users: Any = None, items: Any = None) -> Interactions:
        """Wrap a scipy sparse matrix (copied); ids are row and column numbers unless given.

        Parameters
        ----------
        matrix : scipy sparse matrix or array of shape (n_users, n_items)
            A number for all that each user (row) did with each item (column).
        users, items : array-like or Vocabulary, optional
            The id of each row and column, unique.
        """
        if not sp.issparse(matrix):
            raise SchemaError(
                f"Interactions.from_scipy takes a sparse matrix. Got {type(matrix).__name__}: "
                "write scipy.sparse.csr_matrix(array)."
            )
        if matrix.dtype.kind not in "biuf":
            raise SchemaError(f"Interactions.from_scipy takes real numbers. Got {matrix.dtype}: write matrix.real.")
        with np.errstate(over="ignore"):
            csr = sp.csr_matrix(as_csr(matrix, "Interactions.from_scipy: matrix"), dtype=np.float32, copy=True)
            csr.sum_duplicates()
        if not np.isfinite(csr.data).all():
            raise SchemaError(
                "Interactions.from_scipy: the matrix holds NaN or infinite weights. "
                "Repair them first: matrix.data = numpy.nan_to_num(matrix.data)."
            )
        csr.eliminate_zeros()
        vocabularies = [
            _labels(ids, n, name) for ids, n, name in zip((users, items), csr.shape, ("users", "items"), strict=True)
        ]
        return cls(vocabularies[0], vocabularies[1], csr, {"all": csr})

    @classmethod
    def from_cells(
        cls,
        users: Vocabulary,
        items: Vocabulary,
        events: Coded,
        *,
        channels: Vocabulary | None = None,
        target: np.ndarray | None = None,
        cap: float | None = None,
        binary: bool = False,
        at_us: int | None = None,
        weights: Weights | None = None,
    ) -> Interactions:
        """Sum coded events into cells, per channel and in all.

        Parameters
        ----------
        users, items : Vocabulary
            Ids behind the codes of ``events``.
        events : Coded
            Arrays of shape (n,): codes of users, items and channels, and weights. An event with item -1 is about no
            item and is left out.
        channels : Vocabulary, optional
            Of the codes of channels; without it there is one layer.
        target : ndarray of shape (n,), float64, optional
            Target of each event; a cell's is the mean weighted by ``weight``, which must be above 0.
        cap : float, optional
            Largest absolute value of a cell; the layers of a capped cell shrink alike.
        binary : bool
            Every cell above 0 becomes 1, shared among its layers in proportion; the others are left out.
        at_us : int, optional
            The instant that ages are counted from, UTC microseconds, to be remembered.
        weights : Weights, optional
            What the events were worth, to be remembered.

        Raises
        ------
        SchemaError
            When arrays differ in length, a code lies outside its vocabulary, or a weight is not finite.
        """
        user, item, channel, weight = events
        check_codes({"user": (user, users, 0), "item": (item, items, NONE), "channel": (channel, channels, 0)}, weight)
        shape = (len(users), len(items))
        names = () if channels is None or channel is None else channels.ids
        coded = Coded(user, item, channel if len(names) else None, np.asarray(weight, np.float64))
        csr, layers = sum_cells([coded], shape, len(names), cap=cap, binary=binary)
        named = {str(name): layer for name, layer in zip(names, layers, strict=True)}
        cell_targets = None if target is None else _mean_cells(csr, coded, target)
        return cls(users, items, csr, {"all": csr} if channels is None else named, at_us, cell_targets, weights)

    def __repr__(self) -> str:
        shape = f"{count_of(self.n_users, 'user')} x {count_of(self.n_items, 'item')}"
        return f"Interactions({shape}, {count_of(self.nnz, 'cell')}, {count_of(len(self.layers), 'layer')})"

    @property
    def n_users(self) -> int:
        """How many rows."""
        return len(self.users)

    @property
    def n_items(self) -> int:
        """How many columns."""
        return len(self.items)

    @property
    def nnz(self) -> int:
        """How many cells hold a number."""
        return int(self.csr.nnz)

    @property
    def shape(self) -> tuple[int, int]:
        """(n_users, n_items)."""
        return len(self.users), len(self.items)

    def rows(self, ids: Any) -> Interactions:
        """Return the rows of some people, in the order given.

        Parameters
        ----------
        ids : array-like of user ids, unique
            People whose rows are wanted, in this order.

        Raises
        ------
        UnknownIdError
            When somebody is not here.
        ParameterError
            When somebody is named twice.
        """
        return self.take(distinct_codes(self.users, ids))

    def take(self, codes: np.ndarray) -> Interactions:
        """Return some rows by code, in the order given.

        Raises
        ------
        ParameterError
            When a code is none of 0 to ``n_users`` - 1.
        """
        codes = np.asarray(codes)
        if codes.size and (codes.dtype.kind not in "iu" or codes.min() < 0 or codes.max() >= self.n_users):
            raise ParameterError(
                f"take: codes must be integers from 0 to {self.n_users - 1}, positions in x.users. Got an array of "
                f"{codes.dtype} that is not. People by id are x.rows(ids)."
            )
        codes = codes.astype(np.int64, copy=False)
        csr = _take_rows(self.csr, codes)
        single = len(self.layers) == 1 and next(iter(self.layers.values())) is self.csr
        layers = {name: csr if single else _take_rows(layer, codes) for name, layer in self.layers.items()}
        targets = None if self.targets is None else _take_rows(self.targets, codes)
        return Interactions(self.users.take(codes), self.items, csr, layers, self.at_us, targets, self.weights)

    def with_items(self, items: Vocabulary) -> Interactions:
        """Return the same people over another catalogue: known items keep their cells, others are left out.

        The one way to hand histories to a model that knows other items than the log they came from; what
        the model does not know is dropped here, on purpose and in sight.
        """
        if not isinstance(items, Vocabulary):
            raise ParameterError(f"with_items takes a Vocabulary, such as model.items. Got {type(items).__name__}.")
        if items == self.items:
            return self
        position = self._columns_in(items)
        shape = (self.n_users, len(items))
        moved = {id(self.csr): _move_columns(self.csr, position, shape)}
        for layer in self.layers.values():
            if id(layer) not in moved:
                moved[id(layer)] = _move_columns(layer, position, shape)
        layers = {name: moved[id(layer)] for name, layer in self.layers.items()}
        targets = None if self.targets is None else _move_columns(self.targets, position, shape)
        return Interactions(self.users, items, moved[id(self.csr)], layers, self.at_us, targets, self.weights)

    def _columns_in(self, items: Vocabulary) -> np.ndarray:
        """Return where each item is in another catalogue, -1 where it is not; of a few cells their items only."""
        matrices = {id(one): one for one in (self.csr, *self.layers.values())}.values()
        if _FEW_CELLS * sum(one.nnz for one in matrices) >= self.n_items or self.items.ids.dtype != items.ids.dtype:
            return items.codes(self.items.ids, missing="none")
        used = np.unique(np.concatenate([one.indices for one in matrices]))
        position = np.full(self.n_items, NONE, np.int32)
        position[used] = items.codes(self.items.ids[used], missing="none")
        return position

    def with_targets(self, targets: Interactions) -> Interactions:
        """Return the matrix with the target of each cell from another one over the same people; 0 where it has none.

        Raises
        ------
        SchemaError
            When ``targets`` has other people or items, or a target for a cell that has no weight here.
        ParameterError
            When the matrix has targets of its own.
        """
        if self.targets is not None:
            raise ParameterError("with_targets: the matrix has targets of its own. Leave one out: x.without_targets().")
        if not isinstance(targets, Interactions) or targets.users != self.users:
            raise SchemaError(
                f"with_targets: targets must be Interactions over the same {self.n_users:,} people. Build both from "
                "one log, or select them: targets.rows(x.users.ids)."
            )
        numbers, stray = targets_by_cell(self, targets)
        if stray:
            raise SchemaError(
                f"with_targets: {stray:,} of {targets.nnz:,} targets have no cell here, so no weight. Give each a "
                "weight, or leave it out."
            )
        cells = sp.csr_matrix((numbers, self.csr.indices.copy(), self.csr.indptr.copy()), self.shape)
        return Interactions(self.users, self.items, self.csr, self.layers, self.at_us, cells, self.weights)

    def without_targets(self) -> Interactions:
        """Return the matrix of ``weight * target``, one number per cell: how models read it that know no targets.

        Cells whose target is 0 are uninformative there and are left out.
        """
        if self.targets is None:
            return self
        csr = _product(self.csr, self.targets)
        single = len(self.layers) == 1 and next(iter(self.layers.values())) is self.csr
        layers = {name: csr if single else _product(layer, self.targets) for name, layer in self.layers.items()}
        return Interactions(self.users, self.items, csr, layers, self.at_us, None, self.weights)

    def rejected(self) -> sp.csr_matrix:
        """Return the cells whose target is 0 or less, as ones: explicit negative feedback."""
        keep = np.zeros(self.nnz, np.bool_) if self.targets is None else self.targets.data <= 0
        ends = np.concatenate([[0], np.cumsum(keep)])[self.csr.indptr]
        ones = np.ones(int(keep.sum()), np.float32)
        return raw_csr(ones, self.csr.indices[keep], ends.astype(self.csr.indptr.dtype), self.shape)

    def updated(self, new: Events, *, at: Any = None, weights: Weights | None = None) -> Interactions:
        """Return the matrix with more events in it, as if it had been built from all of them on a later clock.

        Decay is multiplicative: what was there ages by one factor, and new events are added. A service that keeps
        its matrix need not read last year again every night.

        Parameters
        ----------
        new : EventLog
            Events that are not in the matrix yet, of any time up to ``at``; new people, items and channels are added.
        at : datetime, date or str, optional
            The new clock; by default the later one of the matrix's and the end of the new log.
        weights : Weights, optional
            Those the matrix was built with; it remembers them itself when ``log.matrix`` or a scan made it.

        Returns
        -------
        Interactions
            Equal to ``EventLog.concat([old, new]).matrix(weights, at=at)`` up to the rounding of float32 per update.

        Raises
        ------
        ParameterError
            When the weights are not known, or are of a kind that needs the old events: ``cap``, ``binary``,
            ``deduplicate``, ``step_half_life``, ``targets`` and ``verdicts``; or when ``at`` lies before the matrix's
            clock or a new event.

        Notes
        -----
        O(cells + new events). Cells that have aged below the smallest float32 are gone.

        Examples
        --------
        >>> import omnireco as om
        >>> log = om.EventLog.from_frame(om.simulate(n_users=50, n_items=20, seed=1).events)
        >>> old, new = log.split("2025-01-10")
        >>> x = old.matrix(om.Weights(half_life="7D")).updated(new)
        >>> bool(abs(x.csr - log.matrix(om.Weights(half_life="7D")).csr).max() < 1e-5)
        True
        """
        found = updated_cells(self, new, at, weights)
        return Interactions(found.users, found.items, found.csr, found.layers, found.at_us, weights=found.weights)

    def weighted(self, by: Weighting, *, k1: float = 1.2, b: float = 0.75) -> Interactions:
        """Return the matrix with its cells damped: repeated behaviour and what everybody has count less.

        The layers of a cell shrink alike, so that their sum still is the whole.

        Parameters
        ----------
        by : {"log1p", "tfidf", "bm25"}
            ``log1p``: log(1 + x), so forty views are not ten times four; signs stay. ``tfidf``: a cell times
            ``1 + log((1 + n_users) / (1 + people with the item))``, the formula of scikit-learn's TfidfTransformer with
            ``norm=None``. ``bm25``: people are documents, items their words.
        k1 : float
            Of BM25, how late repeated behaviour saturates: near 0 a cell is all or nothing, a large one leaves it as it
            is.
        b : float in [0, 1]
            Of BM25, how much the cells of people who do a lot are held down.

        Raises
        ------
        ParameterError
            For another name, or a number outside its range.

        Notes
        -----
        BM25 is ``idf (k1 + 1) x / (x + k1 (1 - b + b length / mean length))`` with
        ``idf = log(1 + (N - n + 0.5) / (n + 0.5))`` (Robertson and Zaragoza 2009). A cell of tf-idf and BM25 depends on
        all people: damp a history together with, or never apart from, the matrix a model learned from. O(cells).

        Examples
        --------
        >>> import pandas as pd
        >>> x = Interactions.from_frame(pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["tea", "cup", "tea"]}))
        >>> x.weighted("bm25").csr.toarray().round(2)
        array([[0.61, 0.16],
               [0.  , 0.21]], dtype=float32)
        """
        check_choice(by, "by", ("log1p", "tfidf", "bm25"))
        k1, b = check_number(k1, "k1", above=0, high=1e6), check_number(b, "b", low=0, high=1)
        if by == "bm25":
            return self._with_cells(damping.bm25(self.csr, k1, b))
        return self._with_cells((damping.log1p if by == "log1p" else damping.tfidf)(self.csr))

    def item_item(self, measure: Literal["count", "cosine", "jaccard", "lift", "weight"] = "count") -> sp.csr_matrix:
        """Return co-occurrence counts of items over people.

        Parameters
        ----------
        measure : {"count", "cosine", "jaccard", "lift", "weight"}
            People with both (cells above 0); that over the geometric mean, or over the union, of the people with
            either; how many times more than by chance; or the sum over people of the product of both cells.

        Returns
        -------
        scipy.sparse.csr_matrix of shape (n_items, n_items), float32
            Symmetric, without a diagonal; row and column c are ``x.items.ids[c]``.

        Notes
        -----
        Time and memory grow with the sum over people of their items squared: cut long histories, or use
        :class:`ItemKNN`, which keeps the nearest only.

        Examples
        --------
        >>> import pandas as pd
        >>> x = Interactions.from_frame(pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["tea", "cup", "tea"]}))
        >>> x.item_item().toarray()
        array([[0., 1.],
               [1., 0.]], dtype=float32)
        """
        check_choice(measure, "measure", ("count", "cosine", "jaccard", "lift", "weight"))
        return damping.item_pairs(self.without_targets().csr, measure)

    def by_category(self, catalog: Catalog) -> Interactions:
        """Return people x categories: what they did, summed over the items of a category, in all and per layer.

        Parameters
        ----------
        catalog : Catalog
            With categories. Items that it does not know, or that have no category, are left out.

        Raises
        ------
        SchemaError
            When the catalogue has no categories.

        Examples
        --------
        >>> import pandas as pd
        >>> from omnireco.data import Catalog
        >>> x = Interactions.from_frame(pd.DataFrame({"user_id": [1, 1, 2], "item_id": ["tea", "cup", "tea"]}))
        >>> goods = Catalog.from_frame(pd.DataFrame({"item_id": ["tea", "cup"], "category": ["food", "kitchen"]}))
        >>> x.by_category(goods).to_frame()["item_id"].tolist()
        ['food', 'kitchen', 'food']
        """
        if not isinstance(catalog, Catalog):
            raise SchemaError(
                f"by_category takes a Catalog. Got {type(catalog).__name__}: write Catalog.from_frame(frame)."
            )
        if catalog.category is None:
            raise SchemaError("by_category: this catalogue has no categories. Give its frame a 'category' column.")
        categories, codes = catalog.category
        of_item = np.append(codes, np.int32(NONE))[
            match(catalog.items, self.items, ("catalog", "matrix"), column="item_id")
        ]
        known = np.flatnonzero(of_item >= 0)
        member = sp.csr_matrix(
            (np.ones(known.size, np.float32), (known, of_item[known])), (self.n_items, len(categories))
        )

        def summed(matrix: sp.csr_matrix) -> sp.csr_matrix:
            found = sp.csr_matrix(matrix @ member, dtype=np.float32)
            found.eliminate_zeros()
            found.sort_indices()
            return found

        plain = self.without_targets()
        whole = {id(plain.csr): summed(plain.csr)}
        layers = {
            name: whole[id(layer)] if id(layer) in whole else summed(layer) for name, layer in plain.layers.items()
        }
        return Interactions(self.users, categories, whole[id(plain.csr)], layers, self.at_us)

    def _with_cells(self, cells: np.ndarray) -> Interactions:
        """Return the matrix with other numbers in its cells; layers are scaled as their cell is."""
        csr = raw_csr(cells.astype(np.float32), self.csr.indices, self.csr.indptr, self.shape)
        ratio = raw_csr(cells / self.csr.data, self.csr.indices, self.csr.indptr, self.shape)
        layers = {}
        for name, layer in self.layers.items():
            scaled = csr if layer is self.csr else sp.csr_matrix(layer.multiply(ratio), dtype=np.float32)
            scaled.sort_indices()
            layers[name] = scaled
        return Interactions(self.users, self.items, csr, layers, self.at_us, self.targets)

    def to_scipy(self) -> sp.csr_matrix:
        """Return a writable copy of the matrix."""
        return self.csr.copy()

    __arrow_c_stream__ = arrow_stream
    _repr_html_ = shown_rows("users")

    def to_frame(self) -> pd.DataFrame:
        """Return the cells as a pandas frame: user_id, item_id, weight, and target where there are targets."""
        import pandas as pd

        user = np.repeat(np.arange(self.n_users), np.diff(self.csr.indptr))
        frame = pd.DataFrame(
            {
                "user_id": self.users.decode(user),
                "item_id": self.items.decode(self.csr.indices),
                "weight": self.csr.data,
            }
        )
        return frame if self.targets is None else frame.assign(target=self.targets.data)


def targets_by_cell(x: Interactions, targets: Interactions) -> tuple[np.ndarray, int]:
    """Return the target of each cell of ``x``, float32 (nnz,), 0 where it has none; and how many have no cell there."""
    aligned = targets.with_items(x.items).csr
    every = np.repeat(np.arange(x.n_users), np.diff(x.csr.indptr)) * np.int64(x.n_items) + x.csr.indices
    named = np.repeat(np.arange(x.n_users), np.diff(aligned.indptr)) * np.int64(x.n_items) + aligned.indices
    place = np.searchsorted(every, named)
    found = every[np.minimum(place, every.size - 1)] == named
    numbers = np.zeros(x.nnz, np.float32)
    numbers[place[found]] = aligned.data[found]
    return numbers, targets.nnz - named.size + int((~found).sum())


def _check_targets(csr: sp.csr_matrix, targets: sp.csr_matrix) -> None:
    """Refuse targets that are not those of the cells."""
    if (
        targets.shape != csr.shape
        or targets.nnz != csr.nnz
        or not (targets.indptr == csr.indptr).all()
        or not (targets.indices == csr.indices).all()
    ):
        raise SchemaError(
            "Interactions: targets must hold the same cells as csr, in the same order. Build both from one log, "
            "log.matrix(Weights(targets=...)), or from a frame with a column 'target'."
        )
    if csr.nnz and not (np.abs(targets.data).max() <= 1 and csr.data.min() > 0):
        raise SchemaError("Interactions: with targets, weights must be above 0 and targets inside [-1, 1].")


def check_codes(columns: Mapping[str, tuple[Any, Vocabulary | None, int]], weight: Any) -> None:
    """Refuse arrays of events that do not fit: (codes, vocabulary, least code) by name, and a weight each."""
    weight = np.asarray(weight)
    for name, (codes, known, least) in columns.items():
        if codes is None or known is None:
            continue
        codes = np.asarray(codes)
        if codes.shape != weight.shape or codes.ndim != 1 or codes.dtype.kind not in "iu":
            raise SchemaError(
                f"Interactions.from_cells: {name} must hold one integer code per event, shape {weight.shape}. "
                f"Got {codes.dtype} {codes.shape}."
            )
        if codes.size and not (least <= codes.min() and codes.max() < len(known)):
            raise SchemaError(
                f"Interactions.from_cells: {name} holds codes from {codes.min()} to {codes.max()}, and its vocabulary "
                f"has {len(known):,} ids. Code the events with the same vocabulary: vocabulary.codes(ids)."
            )
    if weight.dtype.kind not in "biuf" or not np.isfinite(weight).all():
        raise SchemaError("Interactions.from_cells: weight must be finite numbers. Leave such events out first.")


def _labels(ids: Any, n: int, name: str) -> Vocabulary:
    if ids is None:
        return Vocabulary(np.arange(n, dtype=np.int64))
    if isinstance(ids, Vocabulary):
        return ids
    vocabulary, codes = Vocabulary.encode(ids, name)
    if len(vocabulary) < codes.size:
        raise SchemaError(
            f"Interactions.from_scipy: {codes.size - len(vocabulary):,} of {codes.size:,} {name} are named twice. "
            "Sum their rows first, or use Interactions.from_frame, which does."
        )
    return vocabulary.take(codes)


def _product(cells: sp.csr_matrix, targets: sp.csr_matrix) -> sp.csr_matrix:
    product = sp.csr_matrix(cells.multiply(targets), dtype=np.float32)
    product.eliminate_zeros()
    product.sort_indices()
    return product


def _mean_cells(csr: sp.csr_matrix, events: Coded, target: np.ndarray) -> sp.csr_matrix:
    """Return the weighted mean target of each cell of ``csr``, in an order that does not depend on the rows' order."""
    width = max(1, csr.shape[1])
    weights = np.ones(events.user.size) if events.weight is None else events.weight
    counted = np.flatnonzero((weights != 0) & (events.item != NONE))
    key = events.user[counted].astype(np.int64) * width + events.item[counted]
    weight, target = weights[counted], target[counted]
    order = np.lexsort([target, weight, key])
    key, weight, target = key[order], weight[order], target[order]
    first = np.flatnonzero(np.r_[True, key[1:] != key[:-1]]) if key.size else np.empty(0, np.int64)
    total = np.add.reduceat(weight, first) if first.size else np.empty(0)
    mean = np.add.reduceat(weight * target, first) / total if first.size else np.empty(0)
    cells = np.repeat(np.arange(csr.shape[0], dtype=np.int64), np.diff(csr.indptr)) * width + csr.indices
    aim = np.clip(mean[np.searchsorted(key[first], cells)], -1, 1).astype(np.float32)
    return raw_csr(aim, csr.indices, csr.indptr, csr.shape)


def _take_rows(matrix: sp.csr_matrix, rows: np.ndarray) -> sp.csr_matrix:
    """Return rows of a CSR; far quicker than scipy's indexing for one person."""
    starts, stops = matrix.indptr[rows], matrix.indptr[np.asarray(rows) + 1]
    if len(rows) == 1:
        low, high = int(starts[0]), int(stops[0])
        part = matrix.data[low:high], matrix.indices[low:high], np.array([0, high - low], matrix.indptr.dtype)
        return raw_csr(*part, (1, matrix.shape[1]))
    lengths = stops - starts
    indptr = np.zeros(len(rows) + 1, matrix.indptr.dtype)
    np.cumsum(lengths, out=indptr[1:])
    source = np.arange(int(indptr[-1])) + np.repeat(starts - indptr[:-1], lengths)
    return raw_csr(matrix.data[source], matrix.indices[source], indptr, (len(rows), matrix.shape[1]))


def _move_columns(matrix: sp.csr_matrix, position: np.ndarray, shape: tuple[int, int]) -> sp.csr_matrix:
    """Return the CSR with its columns at other positions; -1 leaves a column out."""
    column = position[matrix.indices]
    keep = column >= 0
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))[keep]
    moved = sp.csr_matrix((matrix.data[keep], (row, column[keep])), shape)
    moved.sort_indices()
    return moved
