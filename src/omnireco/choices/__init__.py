"""Which creative, which channel, which of a few arms: decisions that learn."""

from omnireco._moved import explain_unknown_names
from omnireco.choices.bandit import LinearBandit
from omnireco.choices.channel import ChannelPreference, ChannelPreferenceModel
from omnireco.choices.creatives import CreativeModel, Creatives
from omnireco.choices.decisions import CreativeChoices, Decisions
from omnireco.choices.feedback import Feedback
from omnireco.choices.live import LiveBandit
from omnireco.choices.propensity import thompson_propensities

__all__ = [
    "ChannelPreference",
    "ChannelPreferenceModel",
    "CreativeChoices",
    "CreativeModel",
    "Creatives",
    "Decisions",
    "Feedback",
    "LinearBandit",
    "LiveBandit",
    "thompson_propensities",
]

explain_unknown_names(__name__)
