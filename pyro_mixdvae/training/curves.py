"""The learning curve of a pre-training as a picture."""

from collections.abc import Sequence

from pyro_mixdvae.reporting.pictures import by_default_settings, new_figure, png
from pyro_mixdvae.training.loop import Epoch


@by_default_settings
def curve_image(curve: Sequence[Epoch], best_epoch: int, objective: str = "ELBO", judged: str = "") -> bytes:
    """PNG of the objective of training and validation, per frame, over the epochs; a mark at the best (from 1).

    Where something else than the objective is the validation, `judged` says what; it has an axis of its own.
    """
    figure = new_figure(7, 4)
    axes = figure.add_subplot()
    numbers = [point.number for point in curve]
    validation = [point.validation for point in curve]
    training = [point.training for point in curve]
    axes.plot(numbers, training, color="tab:blue", label="training")
    other = axes.twinx() if judged else axes
    other.plot(numbers, validation, color="tab:orange", label="validation")
    other.plot([best_epoch], [validation[best_epoch - 1]], "o", color="tab:orange", label="kept")
    if judged:
        other.set_ylabel(judged)
    # The first epochs lie so far below that nothing else could be told apart.
    shown = training if judged else validation
    low = sorted(shown)[len(shown) // 10]
    high = max(*training, *shown)
    if high > low:
        axes.set_ylim(low - 0.3 * (high - low), high + 0.1 * (high - low))
    axes.set_xlabel("epoch")
    axes.set_ylabel(f"{objective} per frame (nats)")
    figure.legend(loc="lower right", bbox_to_anchor=(1, 0), bbox_transform=axes.transAxes)
    axes.grid(alpha=0.3)
    return png(figure, dpi=110)
