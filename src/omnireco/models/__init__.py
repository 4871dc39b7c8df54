"""Rankings: from interactions to ordered items."""

from omnireco.models.base import Model, Recommendations
from omnireco.models.blend import Blend, BlendModel
from omnireco.models.channels import ChannelModel, CrossChannel, join_channels
from omnireco.models.factors import ALS, FactorModel
from omnireco.models.graph import GFCF, P3alpha, RP3beta
from omnireco.models.linear import EASE, ItemKNN, ItemModel
from omnireco.models.neighbors import NeighborModel, UserKNN
from omnireco.models.popularity import BuyAgain, Popularity, PopularityModel
from omnireco.models.sequence import NextItem
from omnireco.models.slim import SLIM
from omnireco.models.svd import ProjectionModel, PureSVD
from omnireco.models.typed import TypedEASE, TypedModel, typed_inputs

__all__ = [
    "ALS",
    "EASE",
    "GFCF",
    "SLIM",
    "Blend",
    "BlendModel",
    "BuyAgain",
    "ChannelModel",
    "CrossChannel",
    "FactorModel",
    "ItemKNN",
    "ItemModel",
    "Model",
    "NeighborModel",
    "NextItem",
    "P3alpha",
    "Popularity",
    "PopularityModel",
    "ProjectionModel",
    "PureSVD",
    "RP3beta",
    "Recommendations",
    "TypedEASE",
    "TypedModel",
    "UserKNN",
    "join_channels",
    "typed_inputs",
]
