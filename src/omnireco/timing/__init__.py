"""Send-time optimization: activity profiles, response probabilities, fatigue, exploration and the potential uplift."""

from omnireco._moved import explain_unknown_names
from omnireco.timing.activity import ActivityModel, ActivityProfile
from omnireco.timing.explore import Exploration, Explored, Power, explore, power
from omnireco.timing.fatigue import Fatigue, FatigueModel
from omnireco.timing.headroom import Headroom, headroom
from omnireco.timing.machines import DelayMixture, fit_delay_mixture
from omnireco.timing.reading_clock import ReadingClock, ReadingModel
from omnireco.timing.sending.response_model import SendTimeModel
from omnireco.timing.sending.send_time import SendTime
from omnireco.timing.sessions import by_hour
from omnireco.timing.skill import timing_skill
from omnireco.timing.zones import infer_zones

__all__ = [
    "ActivityModel",
    "ActivityProfile",
    "DelayMixture",
    "Exploration",
    "Explored",
    "Fatigue",
    "FatigueModel",
    "Headroom",
    "Power",
    "ReadingClock",
    "ReadingModel",
    "SendTime",
    "SendTimeModel",
    "by_hour",
    "explore",
    "fit_delay_mixture",
    "headroom",
    "infer_zones",
    "power",
    "timing_skill",
]

explain_unknown_names(__name__)
