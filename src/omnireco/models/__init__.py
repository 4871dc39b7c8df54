"""Rankings: from interactions to ordered items."""

from omnireco.models.base import Model, Recommendations
from omnireco.models.factors import ALS, FactorModel
from omnireco.models.linear import EASE, ItemKNN, ItemModel
from omnireco.models.popularity import BuyAgain, Popularity, PopularityModel

__all__ = [
    "ALS",
    "EASE",
    "BuyAgain",
    "FactorModel",
    "ItemKNN",
    "ItemModel",
    "Model",
    "Popularity",
    "PopularityModel",
    "Recommendations",
]
