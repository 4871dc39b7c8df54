"""Log a model with its card in MLflow, load it anywhere as a pyfunc, and ask it for lists.

    pip install omnireco mlflow
    python examples/mlflow_pyfunc.py

The model is our own file, the card is what was measured: a person who finds the run reads both.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import mlflow
import pandas as pd

import omnireco as om

FILES = {"model": "model.omni", "log": "log.omni", "card": "card.html"}  # the card travels with the model


class Recommend(mlflow.pyfunc.PythonModel):
    """Lists for people: a frame with ``user_id`` in, ``user_id item_id rank score`` out."""

    def load_context(self, context) -> None:
        """Open the model and the events once."""
        self.model = om.load(context.artifacts["model"])
        self.data = om.Dataset(om.load(context.artifacts["log"]))

    def predict(self, context, model_input: pd.DataFrame, params: dict | None = None) -> pd.DataFrame:
        """Return ``k`` items for each person."""
        k = int((params or {}).get("k", 10))
        requests = self.data.requests(model_input["user_id"].drop_duplicates().tolist(), new_users=True)
        return self.model.recommend(requests, k=k).to_frame()


def main(folder: Path) -> pd.DataFrame:
    """Fit, measure, write the card, log all three, load the pyfunc and ask it."""
    world = om.simulate(n_users=200, n_items=40, days=90, seed=1)
    train, test = om.EventLog.from_frame(world.events, itemless="keep").split("2025-03-01")
    models = {"EASE": om.EASE().fit(train), "Popularity": om.Popularity().fit(train)}
    requests = om.Dataset(train).requests()
    lists = {name: model.recommend(requests, k=10) for name, model in models.items()}
    report = om.evaluate(lists, test, k=10)
    card = om.evaluation.card(models["EASE"], data=train, report=report, title="EASE", limits=["simulated people"])

    (folder / "card.html").write_text(card.to_html(), encoding="utf-8")
    om.save(models["EASE"], folder / "model.omni")
    om.save(train, folder / "log.omni")
    mlflow.set_tracking_uri(f"sqlite:///{(folder / 'runs.db').as_posix()}")
    runs = mlflow.create_experiment("recommend", artifact_location=(folder / "runs").as_uri())
    with mlflow.start_run(experiment_id=runs):
        mlflow.log_params({"estimator": "EASE", "split": card.split})
        mlflow.log_text(card.to_html(), "card.html")
        mlflow.log_text(card.to_json(), "card.json")
        for row in card.metrics[card.metrics["model"] == "EASE"].itertuples():
            mlflow.log_metric(f"{row.metric}_at_{row.k}", row.mean)
    asked = pd.DataFrame({"user_id": train.users.ids[:3]})
    answer = models["EASE"].recommend(om.Dataset(train).requests(train.users.ids[:3]), k=10).to_frame()
    signature = mlflow.models.infer_signature(asked, answer, params={"k": 10})  # without it MLflow ignores params
    mlflow.pyfunc.save_model(
        folder / "pyfunc",
        python_model=__file__,  # its code, not a pickle of it
        artifacts={name: str(folder / file) for name, file in FILES.items()},
        signature=signature,
        pip_requirements=["omnireco"],
    )
    served = mlflow.pyfunc.load_model(str(folder / "pyfunc"))
    return served.predict(asked, params={"k": 5})


mlflow.models.set_model(Recommend())
if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(main(Path(folder)))
