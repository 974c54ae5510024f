"""How the models of sound that ship were trained: ``python benchmarks/train_sounds.py OUT --speech ... --flute ...``.

Networks of speech, of instruments and of flutes learn together, from fresh mixtures in every step (`device_mixtures`):
what `mixdvae train audio --against` does with two (`training/separating.py`), for all three at once, in batches and, on
a GPU, by one CUDA graph a step. The learning rate falls along a cosine of the time that is given, so that two runs do
not end with the same weights. Writes OUT/speech.safetensors, instrument.safetensors and flute.safetensors.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import torch
from device_mixtures import STFT_, Folders, Mixtures, begin, chance, draw_mixtures
from torch import Tensor, nn

from pyro_mixdvae.networks.spectral_srnn import SECOND_PASSES, SpectralSRNN, expected_power
from pyro_mixdvae.networks.stationary_noise import without_noise
from pyro_mixdvae.training.separating import DECIBEL, mean_of, separated
from pyro_mixdvae.weights.store import save_network

NAMES = ("speech", "instrument", "flute")
KL_WEIGHT, OWN_OUTPUT, CLIP = 0.01, 0.3, 100.0
LEAST = 1e-20  # of a power that something is divided by


class Pace(NamedTuple):
    """What changes while the training goes on, on the device: numbers that a graph reads anew."""

    learning_rate: Tensor
    kl_scale: Tensor
    own_output: Tensor

    def at(self, share: float, highest: float) -> None:
        """Where so large a share of the time is over."""
        cosine = 0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2
        self.learning_rate.fill_(highest * cosine * min(1.0, 0.05 + share / 0.01))
        self.kl_scale.fill_(KL_WEIGHT * min(1.0, 0.05 + share / 0.03))
        self.own_output.fill_(OWN_OUTPUT * min(1.0, max(0.0, (share - 0.02) / 0.06)))


class Told(NamedTuple):
    """Of a batch: the loss; the ELBO a frame of each network, the gain with instruments and that with flutes [5]."""

    loss: Tensor
    figures: Tensor


def main(arguments: Sequence[str] | None = None) -> None:
    """Train for as long as is asked for, and write the weights."""
    options = _parse(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(options.seed)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    length = (options.frames - 1) * STFT_.hop
    folders = Folders([options.speech, options.instrument, options.flute], length, device, options.seed)
    networks = [SpectralSRNN(hidden=size, backward_hidden=size).to(device) for size in options.hidden]
    begin(networks, draw_mixtures(folders.learned, options.batch_size))
    step, pace = _step(networks, lambda: draw_mixtures(folders.learned, options.batch_size), device)
    pace.at(0.0, options.learning_rate)
    if device.type == "cuda":
        step = _graph(step)
    began, number, figures = time.time(), 0, torch.zeros(5, device=device)
    while (share := max((time.time() - began) / options.seconds, number / options.steps)) < 1:
        if number % 10 == 0:
            pace.at(share, options.learning_rate)
        figures += step()
        number += 1
        if number % options.every == 0:
            print(number, round(time.time() - began, 1), _rounded(figures / options.every), flush=True)
            figures.zero_()
    found = _rounded(validated(networks, folders, options.batch_size))
    print(f"{number} steps; held out, ELBO of {', '.join(NAMES)}, gain with instruments and with flutes: {found}")
    for name, network in zip(NAMES, networks, strict=True):
        card = {"name": name, "schedule": vars(options) | {"steps": number}, "held_out": found}
        card = json.loads(json.dumps(card, default=str))
        save_network(options.output / f"{name}.safetensors", network.cpu(), STFT_, card, overwrite=True)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="folder, which exists")
    for name in NAMES:
        parser.add_argument(f"--{name}", type=Path, nargs="+", required=True, help="folders of recordings")
    parser.add_argument("--seconds", type=float, default=535.0, help="of training")
    parser.add_argument("--steps", type=int, default=sys.maxsize, help="at most")
    parser.add_argument("--batch-size", type=int, default=224, help="mixtures in a step")
    parser.add_argument("--frames", type=int, default=64, help="T")
    parser.add_argument("--learning-rate", type=float, default=0.002, help="of Adam, at its highest")
    parser.add_argument("--hidden", type=int, nargs=3, default=(256, 256, 192), help="widths of the LSTMs")
    parser.add_argument("--every", type=int, default=500, help="steps between two lines of figures")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def _rounded(figures: Tensor) -> list[float]:
    return [round(figure, 2) for figure in figures.tolist()]


def _step(
    networks: Sequence[SpectralSRNN], draw: Callable[[], Mixtures], device: torch.device
) -> tuple[Callable[[], Tensor], Pace]:
    """A step of Adam, which gives the figures of its batch, and what sets its pace."""
    pace = Pace(*(torch.zeros((), device=device) for _ in range(3)))
    on_gpu = device.type == "cuda"
    parameters = [list(network.parameters()) for network in networks]
    optimiser = torch.optim.Adam([*chain(*parameters)], lr=pace.learning_rate, capturable=on_gpu, foreach=on_gpu)

    def step() -> Tensor:
        optimiser.zero_grad(set_to_none=True)
        loss, figures = objective(networks, draw(), pace.kl_scale, pace.own_output)
        loss.backward()
        for own in parameters:
            for parameter in own:
                if parameter.grad is not None:
                    parameter.grad.nan_to_num_(0.0, 0.0, 0.0)
            nn.utils.clip_grad_norm_(own, CLIP)
        optimiser.step()
        return figures

    return step, pace


def _graph(step: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """The same step, launched at once."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(4):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        figures = step()

    def replay() -> Tensor:
        graph.replay()
        return figures

    return replay


@torch.no_grad()
def validated(networks: Sequence[SpectralSRNN], folders: Folders, batch_size: int, n_batches: int = 16) -> Tensor:
    """The figures [5] of mixtures of held-out recordings."""
    torch.manual_seed(1)
    weights = (torch.tensor(KL_WEIGHT), torch.tensor(OWN_OUTPUT))
    drawn = (draw_mixtures(folders.held_out, batch_size) for _ in range(n_batches))
    return torch.stack([objective(networks, batch, *weights).figures for batch in drawn]).mean(0)


def objective(networks: Sequence[SpectralSRNN], batch: Mixtures, kl_scale: Tensor, own_output: Tensor) -> Told:
    """ELBOs of three networks, and the gains of speech from instruments and, in the second half, from flutes."""
    seen, past = _inputs(networks, batch, own_output)
    memories, codes = _heard(networks, seen, past)
    n, n_frames = codes[0].shape[:2]
    noise = torch.randn(len(networks), n, n_frames, networks[0].latent_dim, device=codes[0].device)
    paths, moments = encoder_paths(networks, codes, noise)
    is_late = torch.arange(n, device=codes[0].device) >= n // 2
    counts = [batch.has_speech, batch.has_other, batch.has_other & is_late]
    elbos, powers = [], []
    for number, network in enumerate(networks):
        z, h = paths[number], memories[number]
        before = torch.cat([torch.zeros_like(z[:, :1]), z[:, :-1]], 1)
        mean, variance = network.latent_prior(h, before)
        own_mean, own_log_variance = moments[number].chunk(2, -1)
        latent = _log_normal(z, mean, variance.log()) - _log_normal(z, own_mean, own_log_variance)
        power = network.power(h, z)
        content = network.density(h, z).log_prob(batch.other if number else batch.speech).sum(-1)
        elbos.append(mean_of((content + kl_scale * latent).mean(-1), counts[number]))
        powers.append(power)
    # What speech has to be told from is the other source and the noise.
    gains = [separated(batch.speech, batch.observed, powers[0], power + batch.noise) for power in powers[1:]]
    with_flutes = mean_of(gains[1], batch.is_pair & is_late)
    loss = -sum(elbos) - DECIBEL * (1.5 * mean_of(gains[0], batch.is_pair) + 0.75 * with_flutes)
    return Told(loss, torch.stack([*elbos, mean_of(gains[0], batch.is_pair & ~is_late), with_flutes]).detach())


@torch.no_grad()
def _inputs(networks: Sequence[SpectralSRNN], batch: Mixtures, own_output: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Powers [B, T, F] that each network sees, and that its memory is fed, as in `Separating`.

    Of mixtures in noise one half is heard without what is known of it, as a source of noise would have it.
    """
    speech, other, observed = (part.real.square() + part.imag.square() for part in batch[:3])
    n, device = len(observed), observed.device
    rows = (n, 1, 1)
    everywhere = torch.ones_like(observed[..., 0], dtype=torch.bool)
    quiet = without_noise(observed, batch.noise + LEAST, everywhere)
    looked = torch.where(chance(n, 0.5, device).view(rows), quiet, observed)
    memories, codes = _heard(networks, [looked] * 3, [looked] * 3)
    paths, _ = encoder_paths(networks, codes, None)
    first = [network.power(h, z) for network, h, z in zip(networks, memories, paths, strict=True)]
    is_late = (torch.arange(n, device=device) >= n // 2).view(rows)
    kind = torch.rand(rows, device=device)
    again, is_rough = kind < SECOND_PASSES, kind < SECOND_PASSES / 2
    partner = torch.where(chance(n, 0.5, device).view(rows) & is_late, first[2], first[1])
    is_rough = is_rough | ~batch.is_pair.view(rows)
    seen, past = [], []
    for own, others, truth in zip(first, (partner, first[0], first[0]), (other, speech, speech), strict=True):
        rest = torch.where(is_rough, _roughly(truth), others) + batch.noise + LEAST
        seen.append(torch.where(again, expected_power(observed, own, rest), looked))
        is_half = torch.rand(*own.shape[:2], 1, device=device) < 0.5
        replaced = (torch.rand(rows, device=device) < 2 * own_output) & is_half
        past.append(torch.where(replaced, own, seen[-1]))
    return seen, past


def _roughly(power: Tensor) -> Tensor:
    """As `spectral_srnn.blurred`, of one width and drawn on the device, as a CUDA graph needs it."""
    n, n_frames, n_frequencies = power.shape
    coarse = torch.randn(n, 1, n_frames // 5 + 1, n_frequencies // 8 + 1, device=power.device)
    size = 0.8 * torch.rand(n, 1, 1, 1, device=power.device)
    error = nn.functional.interpolate(size * coarse, (n_frames, n_frequencies), mode="bilinear")[:, 0]
    smooth = nn.functional.avg_pool2d(power[:, None], 3, 1, 1, count_include_pad=False)[:, 0]
    return smooth * error.exp()


def _heard(
    networks: Sequence[SpectralSRNN], seen: Sequence[Tensor], past: Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """h [B, T, H] of each network, its memory fed `past` [B, T, F], and what its encoder's LSTM makes of `seen`."""
    memories = [network.history(network.teacher_forced(own)) for network, own in zip(networks, past, strict=True)]
    codes = [
        network.backward(torch.cat([h, network.to_input(own)], -1))
        for network, h, own in zip(networks, memories, seen, strict=True)
    ]
    return memories, codes


def encoder_paths(
    networks: Sequence[SpectralSRNN], codes: Sequence[Tensor], noise: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Paths of q(z | s) of K networks at once: z [K, B, T, L], and its means and log variances [K, B, T, 2 L].

    Codes are [B, T, E] of each network, noise is [K, B, T, L], None for the central path. What is sequential in it is
    little work in many launches; those of all networks are shared.
    """
    size = networks[0].latent_dim
    parts = [network.encoder_network for network in networks]
    first, second = zip(*(part.hidden.linear() for part in parts), strict=True)
    constant = torch.stack(
        [nn.functional.linear(code, one.weight[:, :-size], one.bias) for code, one in zip(codes, first, strict=True)]
    )
    of_z = torch.stack([one.weight[:, -size:] for one in first]).mT
    between = torch.stack([one.weight for one in second]).mT
    bias_between = torch.stack([one.bias for one in second])[:, None]
    heads = torch.stack([torch.cat([part.mean.weight, part.log_variance.weight]) for part in parts]).mT
    bias_heads = torch.stack([torch.cat([part.mean.bias, part.log_variance.bias]) for part in parts])[:, None]
    z = constant.new_zeros(*constant.shape[:2], size)
    path, moments = [], []
    for t in range(constant.shape[2]):
        hidden = torch.tanh(torch.baddbmm(constant[:, :, t], z, of_z))
        hidden = torch.tanh(torch.baddbmm(bias_between, hidden, between))
        moments.append(torch.baddbmm(bias_heads, hidden, heads))
        mean, log_variance = moments[-1].chunk(2, -1)
        z = mean if noise is None else mean + (log_variance / 2).exp() * noise[:, :, t]
        path.append(z)
    return torch.stack(path, 2), torch.stack(moments, 2)


def _log_normal(value: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Log density of independent Gaussian numbers, summed over the last axis."""
    distance = (value - mean).square() * (-log_variance).exp()
    return -0.5 * (distance + log_variance + math.log(2 * math.pi)).sum(-1)


if __name__ == "__main__":
    main()
