"""The mood of a text: TF-IDF and a logistic regression in plain Python, from a vocabulary with its weights."""

import csv
import math
import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

WORD = re.compile(r"\w\w+")


def load(folder: Path) -> Any:
    """Return the bias, and the IDF and the weight of each word."""
    with (folder / "vocabulary.csv").open(encoding="utf-8", newline="") as file:
        words = {row["word"]: (float(row["idf"]), float(row["weight"])) for row in csv.DictReader(file)}
    return float((folder / "bias.txt").read_text(encoding="utf-8")), words


def predict(model: Any, columns: dict[str, list[str]]) -> dict[str, Any]:
    """Return the label of each text, its probability, and the words that count, the weightiest first."""
    moods = [_mood(*model, text) for text in columns["text"]]
    return {name: [mood[place] for mood in moods] for place, name in enumerate(("label", "p", "words"))}


def _mood(bias: float, vocabulary: dict[str, tuple[float, float]], text: str) -> tuple[str, float, list[str]]:
    counts = Counter(WORD.findall(unicodedata.normalize("NFC", text).lower()))
    known = {word: count * vocabulary[word][0] for word, count in counts.items() if word in vocabulary}
    norm = math.sqrt(math.fsum(value * value for value in known.values())) or 1.0
    parts = {word: value / norm * vocabulary[word][1] for word, value in known.items()}
    p = 1 / (1 + math.exp(-math.fsum([bias, *parts.values()])))
    return ("good" if p > 0.5 else "bad"), p, sorted(parts, key=lambda word: (-abs(parts[word]), word))[:3]
