"""The response room: how likely is an answer to a touch, and when."""

from omnireco.response.activity import ActivityModel, ActivityProfile

__all__ = ["ActivityModel", "ActivityProfile"]
