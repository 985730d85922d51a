"""What is wrong with a picture: a mark that is cut off, text outside of it, text over text."""

from itertools import combinations
from typing import Any

from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.transforms import Bbox, Transform

_TOUCH = 0.5
"""By how many pixels two texts may overlap, or anything may stick out: less than can be seen."""


class _Recorder(RendererAgg):
    """Draws as matplotlib does, and remembers where each text is, and each mark with the frame that clips it."""

    def __init__(self, figure: Figure) -> None:
        width, height = figure.bbox.size
        super().__init__(width, height, figure.dpi)  # type: ignore[no-untyped-call]
        self.frame = Bbox.from_bounds(0, 0, width, height)
        self.texts: list[tuple[str, Bbox]] = []
        self.marks: list[tuple[Bbox, Bbox]] = []

    def _update_methods(self) -> None:
        """Agg would bind its own methods here, in place of those below."""

    def draw_text(self, gc: Any, x: float, y: float, s: str, prop: Any, angle: float, *_: Any, **__: Any) -> None:
        width, height, below = self.get_text_width_height_descent(s, prop, False)  # type: ignore[no-untyped-call]
        up = self.frame.height - float(y)  # Agg counts from the top
        flat = Bbox.from_extents(x, up - below, x + width, up + height - below)
        self.texts.append((s, Bbox.from_extents(x - (height - below), up, x + below, up + width) if angle else flat))

    def draw_markers(
        self, gc: Any, marker_path: Path, marker_trans: Transform, path: Path, trans: Transform, *_: Any
    ) -> None:
        mark, clip = marker_path.get_extents(marker_trans), gc.get_clip_rectangle()
        self.marks += [(mark.translated(x, y), clip or self.frame) for x, y in trans.transform(path.vertices)]


def faults(figure: Figure) -> list[str]:
    """Return what a reader of the picture would complain about."""
    figure.draw_without_rendering()  # places everything
    recorder = _Recorder(figure)
    figure.draw(recorder)
    assert recorder.texts
    assert recorder.marks
    texts = [(text, box.padded(-_TOUCH)) for text, box in recorder.texts]
    marks = [(f"the mark at {box.x0:.0f}, {box.y0:.0f}", box.padded(-_TOUCH), clip) for box, clip in recorder.marks]
    return [
        *(f"{text!r} is not wholly in the picture" for text, box in texts if not _is_inside(box, recorder.frame)),
        *(f"{mark} is cut off" for mark, box, clip in marks if not _is_inside(box, clip)),
        *(f"{one!r} and {other!r} overlap" for (one, a), (other, b) in combinations(texts, 2) if a.overlaps(b)),
    ]


def _is_inside(box: Bbox, frame: Bbox) -> bool:
    return bool(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1)
