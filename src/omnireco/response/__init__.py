"""The response room: how likely is an answer to a touch, and when."""

from omnireco.response.activity import ActivityModel, ActivityProfile
from omnireco.response.explore import Explored, Power, explore, power
from omnireco.response.fatigue import Fatigue, FatigueModel
from omnireco.response.machines import DelayMixture, fit_delay_mixture
from omnireco.response.reading import ReadingClock, ReadingModel
from omnireco.response.send_time import SendTime, SendTimeModel
from omnireco.response.zones import infer_zones

__all__ = [
    "ActivityModel",
    "ActivityProfile",
    "DelayMixture",
    "Explored",
    "Fatigue",
    "FatigueModel",
    "Power",
    "ReadingClock",
    "ReadingModel",
    "SendTime",
    "SendTimeModel",
    "explore",
    "fit_delay_mixture",
    "infer_zones",
    "power",
]
