"""PySpark (extra ``spark``): people of a cluster, answered by its executors with what was fitted here."""

from omnireco._moved import explain_unknown_names
from omnireco.spark.best_slots import send_times
from omnireco.spark.lists import recommend
from omnireco.spark.measuring import evaluate
from omnireco.spark.mllib import from_mllib
from omnireco.spark.own_hours import profiles
from omnireco.spark.spark_plan import SparkPlan, plan
from omnireco.spark.touches import candidates

__all__ = ["SparkPlan", "candidates", "evaluate", "from_mllib", "plan", "profiles", "recommend", "send_times"]

explain_unknown_names(__name__)
