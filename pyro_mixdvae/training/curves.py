"""The learning curve of a pre-training as a picture."""

from collections.abc import Sequence

from pyro_mixdvae.reporting.pictures import by_default_settings, new_figure, png
from pyro_mixdvae.training.loop import ELBO, Epoch, Score


@by_default_settings
def curve_image(curve: Sequence[Epoch], best_epoch: int, score: Score = ELBO) -> bytes:
    """PNG of the score of training and validation over the epochs; a mark at the best (from 1)."""
    figure = new_figure(7, 4)
    axes = figure.add_subplot()
    numbers = [point.number for point in curve]
    validation = [point.validation for point in curve]
    axes.plot(numbers, [point.training for point in curve], color="tab:blue", label="training")
    axes.plot(numbers, validation, color="tab:orange", label="validation")
    axes.plot([best_epoch], [validation[best_epoch - 1]], "o", color="tab:orange", label="kept")
    # The first epochs lie so far below that nothing else could be told apart.
    low = sorted(validation)[len(validation) // 10]
    high = max(max(point.training for point in curve), max(validation))
    if high > low:
        axes.set_ylim(low - 0.3 * (high - low), high + 0.1 * (high - low))
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"{score.name} ({score.unit})")
    axes.legend(loc="lower right")
    axes.grid(alpha=0.3)
    return png(figure, dpi=110)
