"""Melodies of General MIDI instruments as training sound: ``python benchmarks/render_instruments.py OUT``.

Needs the programs fluidsynth and a soundfont (Debian: fluidsynth, fluid-soundfont-gm), and the package mido. Each
instrument plays scales, broken chords, leaps, repeated notes and trills of any speed, from staccato to overlapping
legato, with swells, vibrato, slides and, for half of them, some reverberation. The same seed gives the same files.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import mido
import numpy as np
import soundfile

from pyro_mixdvae.separation.audio.resampling import read_mono

RATE = 16000
TICKS = 480  # a second, as the tempo is one beat a second

VOICES = {52, 53, 54, 85, 91}  # of singers, real or synthetic
PITCHED = [program for program in [*range(80), *range(104, 112)] if program not in VOICES]
FLUTES = [*range(72, 80)]
# Lowest and highest pitch of instruments that players know by name; others have `RANGE`.
RANGES = {
    **dict.fromkeys((8, 9, 10, 14), (72, 100)),  # bells
    **dict.fromkeys(range(32, 40), (30, 62)),  # basses
    40: (55, 96),  # violin
    41: (48, 86),  # viola
    42: (36, 76),  # cello
    43: (28, 62),  # double bass
    56: (54, 84),  # trumpet
    57: (40, 74),  # trombone
    58: (28, 60),  # tuba
    60: (40, 78),  # horn
    64: (56, 88),  # saxophones, soprano to baritone
    65: (49, 82),
    66: (44, 77),
    67: (36, 70),
    68: (58, 92),  # oboe
    69: (52, 82),  # English horn
    70: (34, 74),  # bassoon
    71: (50, 92),  # clarinet
    **dict.fromkeys(FLUTES, (58, 93)),
    72: (74, 98),  # piccolo
    78: (74, 98),  # whistle
}
RANGE = (42, 86)


class Note(NamedTuple):
    """Seconds at which it begins and ends, MIDI pitch and velocity."""

    start: float
    stop: float
    pitch: int
    velocity: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a FLAC file at 16 kHz for each instrument and take."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--programs", nargs=2, type=int, metavar=("FIRST", "LAST"), help="of General MIDI, from 0")
    parser.add_argument("--takes", type=int, default=1, help="of each instrument")
    parser.add_argument("--seconds", type=float, default=40.0, help="of each take")
    parser.add_argument("--soundfont", type=Path, default=Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    first, last = options.programs or (PITCHED[0], PITCHED[-1])
    for program in [program for program in PITCHED if first <= program <= last]:
        for take in range(options.takes):
            random = np.random.default_rng([options.seed, program, take])
            samples = rendered(random, program, options.seconds, options.soundfont)
            if np.abs(samples).max() < 1e-3:
                print(f"program {program} is silent: left out", file=sys.stderr)
                continue
            soundfile.write(options.output / f"{program:03d}-{take}.flac", samples, RATE, "PCM_16")


def rendered(random: np.random.Generator, program: int, seconds: float, soundfont: Path) -> np.ndarray:
    """Samples ``[n]`` at 16 kHz, their peak .9."""
    with tempfile.TemporaryDirectory() as folder:
        midi, wave = Path(folder, "melody.mid"), Path(folder, "melody.wav")
        _midi(random, program, seconds).save(midi)
        room = random.random() < 0.5
        effects = [
            "-R",
            "1" if room else "0",
            "-C",
            "0",
            "-o",
            f"synth.reverb.room-size={random.uniform(0.1, 0.7):.2f}",
        ]
        command = ["fluidsynth", "-ni", "-q", *effects, "-r", "48000", "-g", "0.6", "-F", str(wave), str(soundfont)]
        subprocess.run([*command, str(midi)], check=True, stdout=subprocess.DEVNULL)
        samples = read_mono(wave, RATE)
    return 0.9 * samples / max(np.abs(samples).max(), 1e-9)


def melody(random: np.random.Generator, seconds: float, low: int, high: int) -> list[Note]:
    """Phrases of notes between two pitches."""
    notes: list[Note] = []
    time, pitch = 0.05, int(random.integers(low + 3, high - 3))
    while time < seconds:
        pace = np.exp(random.uniform(np.log(0.07), np.log(0.9)))  # of this phrase, seconds a note
        held = random.choice([random.uniform(0.25, 0.7), random.uniform(0.8, 1.0), random.uniform(1.0, 1.25)])
        kind = random.choice(["scale", "chord", "leaps", "repeated", "trill"], p=[0.35, 0.2, 0.25, 0.1, 0.1])
        direction, velocity = random.choice([-1, 1]), random.integers(35, 120)
        origin = pitch
        for number in range(int(random.integers(3, 14))):
            duration = pace * random.choice([1, 1, 1, 2, 0.5])
            loudness = int(np.clip(velocity + random.normal(0, 8), 15, 127))
            notes.append(Note(time, time + max(0.04, held * duration), pitch, loudness))
            time += duration
            step = {
                "scale": direction * random.choice([1, 2, 2]),
                "chord": direction * random.choice([3, 4, 5]),
                "leaps": random.integers(-12, 13),
                "repeated": 0,
                "trill": (1 if number % 2 == 0 else -1) * direction * 2,
            }[str(kind)]
            pitch = int(pitch + step)
            if not low <= pitch <= high:
                direction, pitch = -direction, origin
        time += random.choice([0.0, random.uniform(0.0, 0.5)])
    return notes


def _midi(random: np.random.Generator, program: int, seconds: float) -> mido.MidiFile:
    low, high = RANGES.get(program, RANGE)
    events = [(0.0, mido.Message("program_change", program=program))]
    for note in melody(random, seconds, low, high):
        events.append((note.start, mido.Message("note_on", note=note.pitch, velocity=note.velocity)))
        events.append((note.stop, mido.Message("note_off", note=note.pitch)))
        length = note.stop - note.start
        if length > 0.3 and random.random() < 0.5:
            depth = int(random.integers(0, 110))
            events.append((note.start + 0.1, mido.Message("control_change", control=1, value=depth)))
        if length > 0.2 and random.random() < 0.3:
            shape = np.interp(np.linspace(0, 1, 12), np.linspace(0, 1, 4), random.uniform(40, 127, 4))
            for place, value in zip(np.linspace(0, length, 12), shape, strict=True):
                message = mido.Message("control_change", control=11, value=int(value))
                events.append((note.start + place, message))
        if random.random() < 0.1:  # slides into the note
            bend = random.choice([-1, 1]) * random.uniform(1000, 8000)
            for place in np.linspace(0, 0.12, 8):
                value = int(bend * (1 - place / 0.12))
                events.append((note.start + place, mido.Message("pitchwheel", pitch=value)))
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=1_000_000)])
    before = 0
    for time, message in sorted(events, key=lambda event: event[0]):
        tick = round(time * TICKS)
        track.append(message.copy(time=tick - before))
        before = tick
    return mido.MidiFile(ticks_per_beat=TICKS, tracks=[track])


if __name__ == "__main__":
    main()
