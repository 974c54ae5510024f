"""What the methods of the table of sounds are made with."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SoundSettings:
    """Of all methods; what differs gives other results.

    Attributes:
        weights: names or paths of the networks of MixDVAE, one a source.
        published_weights: those of the row `published`; None: the same.
        clips: folders of clean clips, one a source, for methods that learn; None: there are none.
        clips_checksum: of the files in them.
        learned: folder of what methods have learned.
        n_steps: of the training of a network.
        seed: of what a method draws.
    """

    weights: tuple[str, ...]
    published_weights: tuple[str, ...] | None = None
    clips: tuple[str, ...] | None = None
    clips_checksum: str = ""
    learned: str = ""
    n_steps: int = 1000
    seed: int = 0
