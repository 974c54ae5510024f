"""How much slower PyTorch is than the compiled engine, and what a likelihood that is not Gaussian costs.

    python benchmarks/engines_speed.py

One thread; three targets through 60 frames, alone and 128 scenes together, and .8 s of sound, alone and 20 together.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace

import torch
from synthetic_scenes import SIZE, synthetic_detections
from timing import measure

from pyro_mixdvae.engines.registry import only_torch
from pyro_mixdvae.models import StudentT
from pyro_mixdvae.reporting.tables import markdown_table
from pyro_mixdvae.separation.separator import Separator
from pyro_mixdvae.tracking.presets import default
from pyro_mixdvae.tracking.tracker import Tracker


def main(arguments: list[str] | None = None) -> list[list[str]]:
    """Print the table; returns its rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--budget", type=float, default=10.0, help="seconds for the repeats of a row")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    preset = default(n_sources=3, weights=None)
    heavy = preset.model.replace(likelihood=StudentT(preset.model.likelihood.noise))
    trackers = {"default": Tracker(3), "Student's t": Tracker(3, preset=replace(preset, model=heavy))}
    separator = Separator()
    rows = []
    for count in (1, 128):
        boxes = list(synthetic_detections(count, 60, 3))
        compiled = _tracking(trackers["default"], boxes)
        calls = {"boxes, default": compiled, "boxes, default in PyTorch": _in_torch(compiled)}
        calls["boxes, Student's t (PyTorch)"] = _tracking(trackers["Student's t"], boxes)
        rows += _rows(calls, count, options.repeats, options.budget)
    for count in (1, 20):
        waveforms = 0.1 * torch.randn(count, 12_800, generator=torch.Generator().manual_seed(0))
        compiled = _separating(separator, waveforms)
        calls = {"sounds, default": compiled, "sounds, default in PyTorch": _in_torch(compiled)}
        rows += _rows(calls, count, options.repeats, options.budget)
    print(markdown_table(["row", "B", "ms/sample (median)", "time / compiled"], rows))
    return rows


def _tracking(tracker: Tracker, boxes: list[object]) -> Callable[[], object]:
    return lambda: tracker.track_many(boxes, sizes=[SIZE] * len(boxes))  # type: ignore[arg-type]


def _separating(separator: Separator, waveforms: torch.Tensor) -> Callable[[], object]:
    return lambda: separator.infer(waveforms)


def _in_torch(call: Callable[[], object]) -> Callable[[], object]:
    def run() -> None:
        with only_torch():
            call()

    return run


def _rows(calls: dict[str, Callable[[], object]], count: int, repeats: int, budget: float) -> list[list[str]]:
    medians = {name: measure(call, repeats, budget).median for name, call in calls.items()}
    first = next(iter(medians.values()))
    return [[name, str(count), f"{1e3 * s / count:.3g}", f"{s / first:.3g}"] for name, s in medians.items()]


if __name__ == "__main__":
    main()
