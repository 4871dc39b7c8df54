"""The contract of an estimator: frozen parameters, one ``fit``, and what searches over parameters need."""

from __future__ import annotations

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from typing import Any, ClassVar, NoReturn, ParamSpec, TypeVar

from omnireco._core.checks import check_flag, shown
from omnireco._core.compute import check_progress, usable_threads
from omnireco._core.notebook import shown_html
from omnireco.errors import NotFittedError, ParameterError

__all__ = ["Estimator", "described", "had_verbs", "says_the_line"]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_Self = TypeVar("_Self", bound="Estimator")
_Class = TypeVar("_Class", bound=type)
_PARTS = {
    "events": "events",
    "messages": "messages=sent",
    "audience": "audience=people",
    "catalog": "catalog=goods",
    "creatives": "creatives=art",
}


def says_the_line(line: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Let a function that is called with other arguments than it has answer with the line to write.

    Parameters
    ----------
    line : str
        A call that works, such as ``"model.recommend(data.requests(), k=10)"``.
    """

    def wrap(function: Callable[_P, _R]) -> Callable[_P, _R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            try:
                return function(*args, **kwargs)
            except TypeError:
                try:
                    signature.bind(*args, **kwargs)
                except TypeError as why:
                    raise TypeError(f"{function.__qualname__}: {why}. Write {line}.") from None
                raise

        return call

    return wrap


def had_verbs(**lines: str) -> Callable[[_Class], _Class]:
    """Let a class that is asked for a method it once had answer with the line to write.

    Parameters
    ----------
    **lines : str
        By the old name of a method: a call that works.
    """

    def wrap(cls: _Class) -> _Class:
        def missing(self: Any, name: str) -> NoReturn:
            if name in lines:
                raise AttributeError(f"{cls.__name__} has no {name}() any more. Write {lines[name]}.")
            raise AttributeError(f"{cls.__name__!r} object has no attribute {name!r}")

        cls.__getattr__ = missing  # type: ignore[attr-defined]
        return cls

    return wrap


class Estimator(ABC):
    """Frozen parameters of an algorithm: ``fit`` returns a model, and changes nothing here.

    Subclasses are frozen dataclasses with keyword-only fields. Equal parameters make equal estimators; the repr is one
    line with what differs from the defaults. ``get_params``, ``set_params`` and ``replace`` let any search over
    hyper-parameters drive them: ``set_params`` returns a new estimator, as the searches of scikit-learn expect.

    Attributes
    ----------
    needs : tuple of str
        Parts of a Dataset that ``fit`` cannot do without, such as ``"events"``, ``"messages"`` and ``"audience"``.
    reads : tuple of str
        Further parts that it reads where they are there.
    verbs : tuple of str
        Verbs of the model, which this object does not have before ``fit``.
    ranks_repeats : bool
        Whether its lists are mostly of what people had before, so that searches let them repeat.

    Examples
    --------
    >>> import omnireco as om
    >>> als = om.ALS(factors=64, weights=om.Weights(half_life="30D"))
    >>> als.replace(factors=8, weights__half_life="7D")
    ALS(factors=8, weights=Weights(half_life='7D'))
    >>> als == als.replace(seed=0), als.get_params()["weights__half_life"]
    (True, '30D')
    """

    __slots__ = ()

    needs: ClassVar[tuple[str, ...]] = ("events",)
    reads: ClassVar[tuple[str, ...]] = ()
    verbs: ClassVar[tuple[str, ...]] = ("recommend", "score", "similar_items", "similar_users", "items")
    ranks_repeats: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        fit = cls.__dict__.get("fit")
        if fit is not None:
            line = _line(cls.__name__, (*cls.needs, *cls.reads))
            lined = fit if hasattr(fit, "__wrapped__") else says_the_line(line)(fit)
            cls.fit = _checks_how(lined)  # type: ignore[method-assign]

    def __new__(cls, *args: Any, **params: Any) -> Any:
        """Say the names of the parameters to whoever gives others, or none."""
        known: list[Any] = [part for part in fields(cls) if part.init] if is_dataclass(cls) else []
        names = [part.name for part in known]
        unknown = [shown(name) for name in params if name not in names]
        if (unknown and names) or (args and known and all(part.kw_only for part in known)):
            what = f"has no parameter {', '.join(unknown)}" if unknown else "takes its parameters by name"
            raise TypeError(f"{cls.__name__} {what}. Write {cls.__name__}({names[0]}=...): it has {', '.join(names)}.")
        return super().__new__(cls)

    @abstractmethod
    def fit(self, data: Any, *, threads: int | None = None, progress: Any = False) -> Any:
        """Return a fitted model."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name; those of nested values too, as ``weights__half_life``.

        Parameters
        ----------
        deep : bool
            Whether to list the parameters of parameters.
        """
        found: dict[str, Any] = {}
        deep = check_flag(deep, "deep")
        for name, value in _parameters(self):
            found[name] = value
            for inner, part in _nested(value) if deep else ():
                found[f"{name}__{inner}"] = part
        return found

    def replace(self: _Self, **changes: Any) -> _Self:
        """Return the estimator with other parameters, checked as when it is made.

        Parameters
        ----------
        **changes
            Parameters by name; ``weights__half_life="7D"`` changes one of a nested value.

        Raises
        ------
        ParameterError
            For a name that is no parameter.
        """
        return _replaced(self, changes)

    def set_params(self: _Self, **params: Any) -> _Self:
        """Return the estimator with other parameters: :meth:`replace`, by scikit-learn's name. Nothing changes here."""
        return _replaced(self, params)

    def settled(self: _Self, data: Any) -> _Self:
        """Return the estimator with what fit would choose for this data written out; most choose nothing.

        Parameters
        ----------
        data : Dataset, EventLog or Interactions
            As for ``fit``.
        """
        return self

    def __sklearn_clone__(self: _Self) -> _Self:
        return self  # frozen: a copy could not differ

    def __repr__(self) -> str:
        return described(self)

    _repr_html_ = shown_html

    def __getattr__(self, name: str) -> NoReturn:
        """Say how to get a model, when a verb of the model is called on its parameters."""
        kind = type(self).__name__
        if name in type(self).verbs:
            raise NotFittedError(
                f"{kind} holds parameters only and has no {name}(): fit returns the model. "
                f"Write model = {kind}(...).fit(data), then model.{name}(...)."
            )
        raise AttributeError(f"{kind!r} object has no attribute {name!r}")


def described(value: Any) -> str:
    """Return one line that makes the value again: its name and what differs from the defaults."""
    shorter = []
    for part in fields(value):
        held = getattr(value, part.name)
        usual = part.default if part.default is not MISSING else None
        if part.default_factory is not MISSING:
            usual = part.default_factory()
        required = part.default is MISSING and part.default_factory is MISSING
        if part.init and part.repr and (required or held != usual):
            shorter.append(f"{part.name}={dict(held) if isinstance(held, Mapping) else held!r}")
    return f"{type(value).__name__}({', '.join(shorter)})"


def _checks_how(fit: Any) -> Any:
    """Let a fit refuse wrong ``threads`` and ``progress``, also where it has no use for them."""

    @functools.wraps(fit)
    def call(self: Any, *args: Any, **how: Any) -> Any:
        if "threads" in how:
            usable_threads(how["threads"])
        if "progress" in how:
            check_progress(how["progress"])
        return fit(self, *args, **how)

    return call


def _line(name: str, needs: tuple[str, ...]) -> str:
    parts = [line for part, line in _PARTS.items() if part in needs and part != "events"]
    return f"{name}(...).fit(om.Dataset({', '.join(['events' if 'events' in needs else '', *parts]).strip(', ')}))"


def _parameters(value: Any) -> Iterator[tuple[str, Any]]:
    return ((part.name, getattr(value, part.name)) for part in fields(value) if part.init)


def _nested(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parameters inside a parameter: of an estimator, of a value of parameters, of estimators by name."""
    if isinstance(value, Estimator):
        yield from value.get_params().items()
    elif hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        yield from _parameters(value)
    elif isinstance(value, Mapping):
        for name, part in value.items():
            if isinstance(part, Estimator):
                yield str(name), part
                yield from ((f"{name}__{inner}", deep) for inner, deep in part.get_params().items())


def _replaced(value: Any, changes: Mapping[str, Any]) -> Any:
    """Return a value with other parameters; ``a__b`` goes into a, after a change of a itself."""
    own = {name: change for name, change in changes.items() if "__" not in name}
    deep: dict[str, dict[str, Any]] = {}
    for name, change in changes.items():
        if "__" in name:
            outer, inner = name.split("__", 1)
            deep.setdefault(outer, {})[inner] = change
    known = value if isinstance(value, Mapping) else dict(_parameters(value))
    if unknown := sorted({*own, *deep} - set(map(str, known))):
        kind = type(value).__name__
        raise ParameterError(
            f"{kind} has no parameter {', '.join(map(shown, unknown))}; it has {', '.join(map(str, known))}."
        )
    for outer, parts in deep.items():
        held = own.get(outer, known[outer])
        if held is None or not (isinstance(held, (Estimator, Mapping)) or hasattr(held, "__dataclass_fields__")):
            raise ParameterError(
                f"{outer} is {shown(held)} and has no parameters of its own. Give it whole: {outer}=..., not "
                f"{outer}__{next(iter(parts))}."
            )
        own[outer] = _replaced(held, parts)
    if isinstance(value, Mapping):
        return {**value, **own}
    return replace(value, **own)
