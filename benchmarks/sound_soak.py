"""Separate long sounds through the command: ``python benchmarks/sound_soak.py --seconds 3600``.

A voice-like and a flute-like sound that come and go, with silence, clicks and noise between. What is asked is not how
well they are separated, but that every sample is finite, that stems sum to the mixture, and that memory is bounded.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

RATE = 16_000
SECONDS_AT_ONCE = 10
TOLERANCE = 1e-5
CODE = "from pyro_mixdvae.cli.main import run; run()"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a long sound, separate it, and hold the stems to the mixture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        mixture = Path(folder) / "long.wav"
        write(mixture, options.seconds, options.seed)
        began = time.monotonic()
        command = [sys.executable, "-c", CODE, "separate", str(mixture), "-o", folder, "--no-plot"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        factor = (time.monotonic() - began) / options.seconds
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        error, n_bad = compared(mixture, sorted((Path(folder) / "long").glob("*.wav")))
    print("| seconds | real-time factor | peak, MiB | samples not finite | furthest from the mixture |")
    print("| ------: | ---------------: | --------: | -----------------: | ------------------------: |")
    print(f"| {options.seconds} | {factor:.3f} | {peak:.0f} | {n_bad} | {error:.1e} |")
    sys.exit(int(n_bad > 0 or error > TOLERANCE))


def write(path: Path, seconds: int, seed: int) -> None:
    """A sound of so many seconds, ten at a time."""
    random = np.random.default_rng(seed)
    with soundfile.SoundFile(path, "w", RATE, 1, "FLOAT") as file:
        for begin in range(0, seconds, SECONDS_AT_ONCE):
            file.write(piece(random, min(SECONDS_AT_ONCE, seconds - begin)))


def piece(random: np.random.Generator, seconds: int) -> npt.NDArray[np.float64]:
    """Some seconds in which each of two sounds is there or not."""
    time_of = np.arange(seconds * RATE) / RATE
    sound = 10.0 ** random.uniform(-6, -2) * random.standard_normal(len(time_of))
    for low, high, harmonics in ((80, 250, 20), (260, 1500, 3)):
        if random.random() < 0.8:
            pitch = random.uniform(low, high) * (1 + 0.02 * np.sin(2 * np.pi * 5 * time_of))
            phase = 2 * np.pi * np.cumsum(pitch) / RATE
            envelope = np.maximum(np.sin(2 * np.pi * random.uniform(0.5, 4) * time_of), 0)
            sound += 0.1 * envelope * sum(np.sin(k * phase) / k for k in range(1, harmonics + 1))
    sound[random.random(len(sound)) < 1e-5] = 1.0
    return sound if random.random() < 0.95 else np.zeros_like(sound)


def compared(mixture: Path, stems: Sequence[Path]) -> tuple[float, int]:
    """The largest difference between the sum of the stems and the mixture, and how many samples are not finite."""
    furthest, n_bad = 0.0, 0
    blocks = [soundfile.blocks(path, SECONDS_AT_ONCE * RATE) for path in (mixture, *stems)]
    for whole, *parts in zip(*blocks, strict=True):
        n_bad += sum(int((~np.isfinite(part)).sum()) for part in parts)
        furthest = max(furthest, float(np.abs(sum(parts) - whole).max()))
    return furthest, n_bad


if __name__ == "__main__":
    main()
