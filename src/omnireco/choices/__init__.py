"""Which creative, which channel, which of a few arms: decisions that learn."""

from omnireco.choices.bandit import Decisions, LinearBandit, LiveBandit
from omnireco.choices.channel import ChannelPreference, ChannelPreferenceModel
from omnireco.choices.creatives import CreativeChoices, CreativeModel, Creatives
from omnireco.choices.propensity import thompson_propensities

__all__ = [
    "ChannelPreference",
    "ChannelPreferenceModel",
    "CreativeChoices",
    "CreativeModel",
    "Creatives",
    "Decisions",
    "LinearBandit",
    "LiveBandit",
    "thompson_propensities",
]
