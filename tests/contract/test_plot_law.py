"""Every plot says what its caller wants it to say, such as that the data are simulated, and keeps its own title."""

import importlib.util
import inspect
import sys
from pathlib import Path

import matplotlib as mpl
import pytest

mpl.use("Agg")
from matplotlib import pyplot

from omnireco import plotting
from omnireco.errors import ParameterError

_SPEC = importlib.util.spec_from_file_location("verbs", Path(__file__).parent / "verbs.py")
verbs = importlib.util.module_from_spec(_SPEC)
sys.modules["verbs"] = verbs  # its dataclasses look for it
_SPEC.loader.exec_module(verbs)

PLOTS = {
    name: thing
    for name, thing in verbs.names().items()
    if getattr(thing, "__module__", "").startswith("omnireco.plotting")
}


@pytest.fixture(autouse=True)
def _closed():
    yield
    pyplot.close("all")


def title_of(ax):
    return ax.get_title(loc="left")


def test_every_plot_is_tried():
    drawn = [name for name in plotting.__all__ if "ax" in inspect.signature(getattr(plotting, name)).parameters]
    assert len(PLOTS) == len(drawn) == len(plotting.__all__)


@pytest.mark.parametrize("name", PLOTS)
def test_a_title_replaces_the_plots_own_or_adds_to_it(name):
    draw = verbs.verb(name)
    own = title_of(draw())
    assert own
    assert title_of(draw(title="{} (SIMULATED)")) == f"{own} (SIMULATED)"
    assert title_of(draw(title="Week 12")) == "Week 12"
    with pytest.raises(ParameterError, match=r"title='\{\} \(simulated\)'"):
        draw(title=7)
