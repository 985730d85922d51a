"""What each line of a basket costs: a request has many lines, and a call those of many requests."""

import json
import math
from pathlib import Path
from typing import Any


def load(folder: Path) -> Any:
    """Return the price of each article."""
    return json.loads((folder / "prices.json").read_text(encoding="utf-8"))


def predict(model: Any, columns: dict[str, Any]) -> dict[str, Any]:
    """Return the price of each line, in cents, after its discount, and what the article is called."""
    lines = zip(columns["article"], columns["count"], columns["discount"], strict=True)
    prices = [_price(model, *line) for line in lines]
    return {"cents": prices, "article": [str(article or "nothing").strip() for article in columns["article"]]}


def _price(prices: dict[str, int], article: str | None, count: int, discount: float) -> int:
    share = 1.0 if math.isnan(discount) else 1 - min(max(discount, 0.0), 1.0)
    return round(prices.get(article or "", 0) * max(0, min(int(count), 1000)) * share)
