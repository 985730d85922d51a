"""Holds each answer to the cuts: those of swaps, and what promotes and abandons have made of them since."""


class Cuts:
    """Which generation may answer an offset, as cuts say; an answer may come before the command that allows it."""

    def __init__(self, *, fold, part, behind, cut_offs):
        """`part`: partition -> what became of it."""
        self._fold, self._part, self._behind, self._cut_offs = fold, part, behind, cut_offs
        self._loaded = set()
        self._early: dict[tuple[int, int], int] = {}  # partition, generation -> its first answer before its cut

    def command(self, made, partitions):
        """Take in a promote, or what an abandon has brought."""
        if made.replaces:
            # Partitions that the abandoned one had not scored keep what they have, wherever they were cut to it.
            self._behind.fail(made.replaces)
            for part in partitions:
                part.course.uncut(made.replaces)
        elif made.number in self._loaded:
            self._bind(made)

    def answered(self, answer, made):
        """Take in an answer, whose request and generation are known."""
        if made.number not in self._loaded:
            self._loaded.add(made.number)
            self._bind(made)
        begins = made.begins(answer.partition)
        if begins is None or answer.offset < begins:  # a later command may lower it
            place = answer.partition, made.number
            self._early[place] = min(answer.offset, self._early.get(place, answer.offset))
        least = self._part(answer.partition).course.least(answer.offset)
        if least > made.number:
            self._check(answer.partition, answer.offset, made.number, self._fold.accepted[least])

    def _bind(self, made):
        # A generation that has answered anything can be loaded: then nothing older may answer after its cut. One that
        # no worker could stage cuts nothing. What has an abandoned one's partitions alone is left to the end.
        if made.abandoned_ms is None and not made.replaces:
            for partition, cut in made.cut.items():
                for offset, older in self._part(partition).course.cut(cut, made.number):
                    self._check(partition, offset, older, made)

    def _check(self, partition, offset, older, made):
        if text := self._behind_cut(partition, offset, older, made):
            self._behind.say(made.number, "wrong_cut", partition, offset, text)

    def _behind_cut(self, partition, offset, older, made):
        if not self._is_after(partition, offset, made.known_ms(partition)):
            return ""
        return f"answered by generation {older}, although {made.number} begins at {made.cut[partition]} here"

    def _is_after(self, partition, offset, sent_ms):
        """Whether each worker knew of a command when the request was published."""
        request = self._part(partition).requests.get(offset)
        return request and request.timestamp_ms > self._cut_offs.known_from_ms(sent_ms)

    # ---- at the end

    def final(self, partitions, announced):
        """Find what an abandon forbids, where each cut-over is announced."""
        for number, part in partitions.items():
            for generation, (first, _) in part.course.spans.items():
                made = self._fold.accepted.get(generation)
                if made and made.replaces:
                    yield from self._of_heir(number, part, made, announced)
                if made and made.abandoned_ms is not None and announced.get((number, generation), first) == first:
                    yield from self._of_abandoned(number, first, made)

    def early(self):
        """Find answers before a cut that nothing has lowered."""
        for (number, generation), offset in self._early.items():
            begins = self._fold.accepted[generation].begins(number)
            if begins is None or offset < begins:
                where = "to which nothing has cut it" if begins is None else f"which begins at {begins} here"
                yield "wrong_cut", number, offset, f"answered by generation {generation}, {where}"

    def _of_heir(self, number, part, made, announced):
        first, _ = part.course.spans[made.number]
        if made.replaces not in part.course.spans and (number, made.replaces) not in announced:
            text = f"answered by generation {made.number}, and {made.replaces}, which it replaces, never had it"
            yield "wrong_cut", number, first, text
        if number in made.cut and not self._behind.has_failed(made.number):
            for offset, older in part.course.behind(made.cut[number], made.number):
                if text := self._behind_cut(number, offset, older, made):
                    yield "wrong_cut", number, offset, text

    def _of_abandoned(self, number, first, made):
        if self._is_after(number, first, made.abandoned_ms):
            yield "wrong_cut", number, first, f"generation {made.number} came to it, and had been abandoned"
