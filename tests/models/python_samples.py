"""What the tests' Python models are asked: by model and field, what draws ordinary values."""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final

Sampler = Callable[[Random], Any]
CITIES: Final = ("Bern", "Zürich", "Genève", "Chur", "東京")


def near(mean: float, deviation: float, digits: int = 2) -> Sampler:
    """Return what draws numbers around a mean."""
    return lambda random: round(random.gauss(mean, deviation), digits)


def whole(low: int, high: int) -> Sampler:
    """Return what draws whole numbers."""
    return lambda random: random.randint(low, high)


def one_of(*values: Any) -> Sampler:
    """Return what draws one of these."""
    return lambda random: random.choice(values)


def text_of(*words: str) -> Sampler:
    """Return what draws texts of these words."""
    return lambda random: " ".join(random.choice(words) for _ in range(random.randrange(1, 9)))


def day_of(random: Random) -> str:
    """Draw a date, or what looks like one."""
    return f"20{random.randrange(10, 30)}-{random.randrange(1, 13):02}-{random.randrange(1, 31):02}"


GOOD: Final = ("good", "fine", "great", "wunderschön", "loved", "素晴らしい")
BAD: Final = ("bad", "poor", "awful", "grässlich", "broken", "hated")
PLAIN: Final = ("the", "hotel", "room", "Frühstück", "was", "and", "it", "a", "view")
ORDINARY: Final[Mapping[str, Mapping[str, Sampler]]] = {
    "rule": {
        "amount": near(400, 900),
        "country": one_of("CH", "DE", "FR", "CI", ""),
        "is_member": one_of(True, False),
        "orders": whole(0, 60),
        "note": one_of("", "FRAGILE!", "ring twice", "Straße 5", "zerbrechlich 🥚"),
    },
    "pipeline": {
        "income": near(5e4, 1e4),
        "visits": whole(0, 20),
        "city": one_of(*CITIES),
        "since": day_of,
    },
    "statsmodels": {
        "temperature": near(14, 9, 1),
        "wind": near(12, 6, 1),
        "weekend": one_of(True, False),
        "sky": one_of("clear", "cloud", "rain", "hail"),
    },
    "torch": {"x": near(0, 1), "y": near(0, 1), "city": one_of(*CITIES, "Basel")},
    "sentiment": {"text": text_of(*GOOD, *BAD, *PLAIN, "Great!", "BAD", "wunderscho\u0308n")},
    "rates": {
        "amount": near(100, 80),
        "currency": one_of("EUR", "USD", "JPY", "CHF", "XYZ"),
        "year": whole(2015, 2026),
    },
    "ensemble": {
        "a": near(0, 1),
        "b": near(0, 1),
        "c": near(0, 1),
        "segment": one_of("new", "known", "business", "government"),
    },
    "several": {
        "sepal_length": near(5.8, 0.8, 1),
        "sepal_width": near(3, 0.4, 1),
        "petal_length": near(3.8, 1.7, 1),
        "petal_width": near(1.2, 0.7, 1),
    },
    "vectors": {"embedding": near(0, 1, 3)},
    "tokens": {
        "text": text_of("The", "quick", "Straße", "ﬁsh", "and", "don't", "x_1", "東京都", "3.5", "👍🏽"),
        "tags": one_of("new", "Ärger", "of", "no-reply"),
    },
    "basket": {
        "article": one_of("apple", "Brötli", "ラーメン", "pear"),
        "count": whole(0, 12),
        "discount": one_of(0.0, 0.1, 0.25),
    },
    "frame": {
        "income": near(52000, 25000, 0),
        "region": one_of("north", " North", "süd", "SÜD", "west"),
        "household": whole(1, 8),
        "day": day_of,
    },
}
