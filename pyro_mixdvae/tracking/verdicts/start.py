"""Where the sources start, if nobody said it."""

from collections.abc import Iterator

from pyro_mixdvae.tracking.boxes import Array, xyxy_to_ltwh
from pyro_mixdvae.tracking.films import Start
from pyro_mixdvae.tracking.result import TrackingResult


class Guessed:
    """Nobody said who the sources are, and there were more detections, or tracks, to choose from.

    Args:
        start: where they start.
    """

    def __init__(self, start: Start):
        self._start = start

    def add(self, boxes: Array, result: TrackingResult) -> None:
        """Nothing that was found says more of it."""

    def sentences(self) -> Iterator[str]:
        """One, with what to correct and give back."""
        frame, boxes, candidates, compared = self._start
        n_sources = len(boxes)
        if compared is None and candidates <= n_sources:
            return
        drawn = ";".join(",".join(f"{number:.10g}" for number in row) for row in xyxy_to_ltwh(boxes).round(1))
        if compared is None:
            what = f"the {n_sources} most confident of the {candidates} detections of frame {frame + 1}"
        else:
            what = (
                f"the {n_sources} of all tracks of frames {compared[0] + 1} to {compared[1] + 1} that are likeliest "
                f"together, by where they are in frame {frame + 1}, or nearest to it"
            )
        yield (
            f"Who the sources are was guessed: {what}. If these are others, correct them and run again with --init "
            f'"{frame + 1}:{drawn}"'
        )
