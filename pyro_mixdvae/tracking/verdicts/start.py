"""Where the sources start, if nobody said it."""

from collections.abc import Iterator

from pyro_mixdvae.tracking.boxes import Array, xyxy_to_ltwh
from pyro_mixdvae.tracking.poses import points_of
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.verdicts.setting import Setting


class Guessed:
    """Nobody said who the sources are, and there were more detections, or tracks, to choose from.

    Args:
        setting: the film.
    """

    def __init__(self, setting: Setting):
        self._setting = setting

    def add(self, boxes: Array, result: TrackingResult) -> None:
        """Nothing that was found says more of it."""

    def sentences(self) -> Iterator[str]:
        """One, with what to correct and give back."""
        (frame, boxes, candidates, compared), n_sources = self._setting.start, self._setting.n_sources
        is_told = candidates == 0 or (compared is None and candidates <= n_sources)
        if is_told:
            return
        places = xyxy_to_ltwh(boxes) if boxes.shape[-1] == 4 else points_of(boxes)
        drawn = ";".join(",".join(f"{number:.10g}" for number in row) for row in places.round(1))
        origin = self._setting.origin
        if compared is None:
            most = "most" if n_sources == 1 else f"{n_sources} most"
            what = f"the {most} confident of the {candidates} detections of frame {frame + origin}"
        else:
            who, likeliest = ("one", "is likeliest") if n_sources == 1 else (n_sources, "are likeliest together")
            what = (
                f"the {who} of all tracks of frames {compared[0] + origin} to {compared[1] + origin} that {likeliest}, "
                f"by where they are in frame {frame + origin}, or nearest to it"
            )
        yield (
            f"Who the sources are was guessed: {what}. If these are others, correct them and run again with --labels "
            f'"{frame + origin}:{drawn}"'
        )
