"""A price, by a table of countries; what MLflow calls a model from code."""

import json
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel


class Price(PythonModel):
    """Its file has a factor for each country, its configuration the bounds of the bands."""

    def load_context(self, context):
        self.factors = json.loads(Path(context.artifacts["factors"]).read_text(encoding="utf-8"))
        self.bounds = context.model_config["bounds"]

    def predict(self, context, model_input, params=None):
        discount = (params or {}).get("discount", 0.0)
        factors = [self.factors.get(country or "", 1.0) for country in model_input["country"]]
        price = model_input["amount"].clip(0, 1e6) * factors * (1 - discount) + model_input["rate"].astype(float)
        points = model_input["count"].clip(0, 100) + model_input["days"].clip(0, 100) * model_input["is_member"]
        return pd.DataFrame(
            {
                "price": price,
                "band": [("low", "middle", "high")[sum(one > bound for bound in self.bounds)] for one in price],
                "points": points.astype("int64"),
                "is_high": price > self.bounds[-1],
            }
        )


mlflow.models.set_model(Price())
