"""Scores Word2Vec MOJOs: the embedding of a word, or the mean embedding of a text's words.

The column (named as in training) is one word, or several separated by white space. Words are looked up exactly as
written, as H2O does. A trained word may hold white space itself (`new york`): it is found as the whole text, and among
the words of one, where the longest counts. If no word is known, the embedding is NaN, or the request is refused if
configuration.unknown_category is REFUSE.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Final

import jpype
import numpy as np
import numpy.typing as npt

from hotswap.codec.fields import Column
from hotswap.codec.outputs import Output
from hotswap.codec.proto import Operation
from hotswap.codec.values import Table
from hotswap.errors import ModelError
from hotswap.generation import Configuration, Policy
from hotswap.runtimes.h2o.inputs import field_of
from hotswap.runtimes.h2o.loops import embedding_loop
from hotswap.runtimes.h2o.outputs import outputs_of
from hotswap.runtimes.rows import RowPlan


class WordEmbedding:
    """A loaded Word2Vec MOJO. `columns` and `outputs` describe the tables of score()."""

    def __init__(self, model: Any, configuration: Configuration) -> None:
        self._model = model
        self._size: Final = int(model.getVecSize())
        self._is_strict = configuration.unknown_category is Policy.REFUSE
        self._loop = embedding_loop()
        self._split = _splitter([str(word) for word in field_of(model, "_embeddings").keySet()])
        self.columns: Final[Sequence[Column]] = [Column(str(model.getNames()[0]), type="text")]
        self.outputs: Final[Sequence[Output]] = outputs_of(model, "WordEmbedding", self._size)

    @property
    def description(self) -> str:
        """The algorithm and the category, the columns and the outputs."""
        return f"H2O WORD2VEC, WordEmbedding: {self.columns[0].name} (text) -> embedding of {self._size} numbers"

    def plan(self, operation: Operation, configuration: Configuration) -> RowPlan:
        """Return the plan of an operation: each one scores rows."""
        return RowPlan(self, operation, configuration)

    def score(self, table: Table) -> Table:
        """Score a column of texts to rows x embedding.

        Raises ModelError if none of a text's words is known and the policy for unknown categories is REFUSE.
        """
        texts = [list(self._split(text or "")) for text in table.objects[0]]
        vectors = self._look_up(list(chain.from_iterable(texts)))
        is_known = ~np.isnan(vectors[:, 0])
        means = np.full((len(texts), self._size), np.nan, np.float32)
        end = 0
        for row, text in enumerate(texts):
            part = slice(end, end + len(text))
            end = part.stop
            known = vectors[part][is_known[part]]
            if len(known):
                # Summed in the order of the words and in float32, as H2O does.
                means[row] = np.add.reduce(known, axis=0) / np.float32(len(known))
            elif self._is_strict:
                raise ModelError(f"row {row}: the model knows none of the words of {table.objects[0][row]!r}")
        return Table(means.astype(np.float64))

    def _look_up(self, words: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return words x embedding; NaN for unknown words."""
        unknown = np.full((len(words), self._size), np.nan, np.float32)
        if not words:
            return unknown
        positions = jpype.JArray.of(unknown)
        self._loop(self._model, jpype.JArray(jpype.JString)(words), positions)
        return np.array(positions)


def _splitter(vocabulary: Sequence[str]) -> Callable[[str], Iterable[str]]:
    """Return a function that splits a text at white space, except within a word of the vocabulary."""
    phrases = {word for word in vocabulary if word.split() != [word]}
    if not phrases:
        return str.split
    most = max(len(phrase.split()) for phrase in phrases)

    def split(text: str) -> Iterator[str]:
        if text in phrases:
            yield text
            return
        words = [match.span() for match in re.finditer(r"\S+", text)]
        first = 0
        while first < len(words):
            begin, end = words[first]
            for last in range(min(first + most, len(words)) - 1, first, -1):
                if text[begin : words[last][1]] in phrases:
                    first, end = last, words[last][1]
                    break
            yield text[begin:end]
            first += 1

    return split
