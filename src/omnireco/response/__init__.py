"""The response room: how likely is an answer to a touch, and when."""

from omnireco.response.activity import ActivityModel, ActivityProfile
from omnireco.response.explore import Explored, Power, explore, power
from omnireco.response.send_time import SendTime, SendTimeModel

__all__ = [
    "ActivityModel",
    "ActivityProfile",
    "Explored",
    "Power",
    "SendTime",
    "SendTimeModel",
    "explore",
    "power",
]
