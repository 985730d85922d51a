"""The words of a text, as a search would have them."""

import re
import unicodedata
from pathlib import Path
from typing import Any

PIECE = re.compile(r"[^\W_]+|[^\w\s]")


def load(folder: Path) -> frozenset[str]:
    """Return the words that are left out."""
    return frozenset((folder / "stopwords.txt").read_text(encoding="utf-8").split())


def predict(model: frozenset[str], columns: dict[str, Any]) -> dict[str, Any]:
    """Return the words of each text and their lengths; a missing text has none."""
    texts = zip(columns["text"], columns["tags"], strict=True)
    words = [[word for word in _words(" ".join([text or "", *tags])) if word not in model] for text, tags in texts]
    return {"words": words, "lengths": [[len(word) for word in row] for row in words], "count": [*map(len, words)]}


def _words(text: str) -> list[str]:
    return PIECE.findall(unicodedata.normalize("NFKC", text).casefold())
