"""What separating one waveform gives."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from torch import Tensor

from pyro_mixdvae.plurals import counted
from pyro_mixdvae.reporting.sameness import EqualByContent
from pyro_mixdvae.separation.audio.reading import Samples
from pyro_mixdvae.separation.fit import Fit
from pyro_mixdvae.separation.presence import Sounding

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, repr=False)
class Separation(EqualByContent):
    """What `Separator.separate` gives. A notebook shows it as players with a verdict; equal is what holds the same.

    Attributes:
        names: of the N sources.
        stems: ``[N, *]``, of the kind, the shape and the rate of the mixture.
        fits: how well each source's model explains what it was given.
        mixture: the waveform ``[*]`` that was separated.
        rate: samples a second.
        note: a sentence where the compiled engine could not serve; says which part it does not know.
        presence: when each source sounds, and how probably; None where none is said to be silent, or to may be.
    """

    names: tuple[str, ...]
    stems: npt.NDArray[np.floating] | Tensor
    fits: tuple[Fit, ...]
    mixture: npt.NDArray[np.floating] | Tensor
    rate: int
    note: str | None = None
    presence: Sounding | None = None

    @property
    def warnings(self) -> list[str]:
        """A sentence for each source whose model explains the mixture badly."""
        return [fit.warning for fit in self.fits if fit.warning]

    @property
    def sounds(self) -> Samples:
        """The mixture and the stems ``[1 + N, channels, n]``, as NumPy has them in single precision."""
        waveforms = (_array(self.mixture), *_array(self.stems))
        return np.stack([channels_first(waveform) for waveform in waveforms])

    def __repr__(self) -> str:
        seconds = max(self.mixture.shape) / self.rate
        names, warnings = ", ".join(self.names), len(self.warnings)
        return f"Separation({names}: {seconds:.2f} s at {self.rate} a second, {counted(warnings, 'warning')})"

    def _repr_html_(self) -> str:
        from pyro_mixdvae.separation.show import html_of

        return html_of(self)

    def plot(self) -> "Figure":
        """Spectrograms of the mixture and the stems, of the first half minute, as a figure of matplotlib."""
        from pyro_mixdvae.separation.show import figure_of

        return figure_of(self)

    def save(self, folder: str | Path, overwrite: bool = False) -> list[Path]:
        """Write NAME.wav of each source (32-bit floats), presence.csv where it is known when each sounds, and the
        picture, separation.png.

        Args:
            folder: is made where it is missing.
            overwrite: existing files may be replaced.

        Returns:
            the paths.

        Raises:
            InputError: a file exists already, cannot be written, or a source has a name that no file has.
        """
        from pyro_mixdvae.separation.show import save

        return save(self, Path(folder), overwrite)

    def to_html(self, title: str = "mixture") -> str:
        """The text of a page with players that keep step, solo and mute, and spectrograms (`separation.pages`)."""
        from pyro_mixdvae.separation.pages import LONGEST, SoundPage, Stems

        sounds = self.sounds[1:]
        held = sounds[..., : int(LONGEST * self.rate)]
        spans = self.presence.spans if self.presence is not None else ()
        return SoundPage(Stems(title, self.names, held, self.rate, sounds.shape[-1] / self.rate, spans)).html()


def channels_first(waveform: Samples) -> Samples:
    """A waveform ``[n]``, ``[n, channels]`` or ``[channels, n]``, of which the longer axis is that of the samples, as
    ``[channels, n]``; of more axes the last one is.
    """
    turned = waveform.T if waveform.ndim == 2 and waveform.shape[0] > waveform.shape[1] else waveform
    return np.ascontiguousarray(turned.reshape(-1, turned.shape[-1]))


def _array(waveform: npt.NDArray[np.floating] | Tensor) -> Samples:
    return np.asarray(waveform.detach().cpu() if isinstance(waveform, Tensor) else waveform, dtype=np.float32)
