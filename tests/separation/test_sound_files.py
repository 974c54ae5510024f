import os
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.separation.audio.reading import SoundReader, find_sounds, read_sound

LOSSLESS = [
    ("wav", "PCM_U8", 2**-7),
    ("wav", "PCM_16", 2**-15),
    ("wav", "PCM_24", 2**-23),
    ("wav", "PCM_32", 2**-23),
    ("wav", "FLOAT", 0),
    ("wav", "DOUBLE", 0),
    ("flac", "PCM_S8", 2**-7),
    ("flac", "PCM_16", 2**-15),
    ("flac", "PCM_24", 2**-23),
    ("aiff", "PCM_16", 2**-15),
    ("caf", "PCM_24", 2**-23),
    ("w64", "FLOAT", 0),
]


@pytest.fixture
def samples(rng: np.random.Generator) -> np.ndarray:
    """A stereo sound ``[2, n]`` within -1..1, of an odd length."""
    return rng.uniform(-0.9, 0.9, (2, 5001)).astype(np.float32)


@pytest.mark.parametrize(("suffix", "subtype", "step"), LOSSLESS)
def test_samples_rate_and_channels_arrive_as_they_are(
    tmp_path: Path, samples: np.ndarray, suffix: str, subtype: str, step: float
) -> None:
    path = tmp_path / f"sound.{suffix}"
    soundfile.write(path, samples.T, 22050, subtype)
    sound = read_sound(path)
    assert sound.rate == 22050
    assert sound.samples.dtype == np.float32
    assert sound.samples.shape == samples.shape
    assert sound.samples.flags.c_contiguous
    assert np.abs(sound.samples - samples).max() <= step


@pytest.mark.parametrize(
    ("form", "subtype"),
    [("WAV", "PCM_24"), ("WAV", "IMA_ADPCM"), ("FLAC", "PCM_16"), ("MP3", None), ("OGG", "VORBIS"), ("OGG", "OPUS")],
)
def test_pieces_anywhere_are_those_of_the_whole(
    tmp_path: Path, samples: np.ndarray, form: str, subtype: str | None
) -> None:
    path = tmp_path / "sound"
    soundfile.write(path, np.tile(samples, 9).T, 48000, subtype, format=form)
    whole = read_sound(path).samples
    with SoundReader(path) as file:
        assert (file.rate, file.channels, file.length) == (48000, *whole.shape)
        np.testing.assert_array_equal(np.concatenate(list(file.blocks(1000)), axis=1), whole)
        pieces = list(file.blocks(10_000))
        assert [piece.shape[1] for piece in pieces[:4]] == [10_000] * 4
        np.testing.assert_array_equal(np.concatenate(pieces, axis=1), whole)
        for start, count in [(30_000, 100), (7, 20_000), (0, 1), (45_000, 9_999)]:
            np.testing.assert_array_equal(file.read(start, count), whole[:, start : start + count])
        assert file.read(file.length, 5).shape == (2, 0)


@pytest.mark.parametrize("padding", [0, 3000, 50_000])
def test_mp3_without_a_count_of_its_frames_is_as_long_as_what_it_holds(tmp_path: Path, padding: int) -> None:
    """As old encoders wrote it: constant bit rate, no first frame that counts, and room for tags to grow."""
    path = tmp_path / "sound.mp3"
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(44100) / 44100)
    with soundfile.SoundFile(path, "w", 44100, 1, bitrate_mode="CONSTANT", compression_level=0.5) as file:
        file.write(tone)
    stream = path.read_bytes()
    counted = [stream.find(name) for name in (b"Xing", b"Info") if name in stream[:1500]]
    second = stream.index(stream[:2], counted[0] + 120)
    size = bytes(padding >> shift & 0x7F for shift in (21, 14, 7, 0))
    path.write_bytes(b"ID3\x02\0\0" + size + bytes(padding) + stream[second:])
    sound = read_sound(path)
    assert abs(sound.samples.shape[1] - len(tone)) < 4 * 1152
    with SoundReader(path) as file:
        assert file.length == sound.samples.shape[1]
        np.testing.assert_array_equal(file.read(10_000, 500), sound.samples[:, 10_000:10_500])


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 300), st.integers(1000, 192_000), st.integers(0, 2**32 - 1))
def test_any_float_file_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, channels: int, n: int, rate: int, seed: int
) -> None:
    path = tmp_path_factory.mktemp("sounds") / "sound.wav"
    samples = (10 * np.random.default_rng(seed).standard_normal((channels, n))).astype(np.float32)
    soundfile.write(path, samples.T, rate, "FLOAT")
    sound = read_sound(path)
    assert sound.rate == rate
    np.testing.assert_array_equal(sound.samples, samples)


def bad_files(folder: Path) -> dict[str, Path]:
    """A file for each reason to refuse one, by a word of the sentence."""
    paths = {word: folder / f"{number}.wav" for number, word in enumerate(("empty", "no sound", "no samples", "NaN"))}
    sine = np.sin(np.arange(8000) / 9)
    paths["empty"].touch()
    paths["no sound"].write_text("a shopping list\n" * 100)
    soundfile.write(paths["no samples"], sine[:0], 8000)
    soundfile.write(paths["NaN"], np.where(np.arange(8000) == 2000, np.inf, sine), 8000, "FLOAT")
    paths["second 0.250"] = paths["NaN"]
    paths["too few for sound"] = folder / "slow.wav"
    soundfile.write(paths["too few for sound"], sine, 1)
    paths["too many for sound"] = folder / "fast.wav"
    soundfile.write(paths["too many for sound"], sine, 10**9)
    paths["does not exist|no such file"] = folder / "none.wav"
    paths["is a directory"] = folder
    paths["cannot be read from second"] = folder / "cut.flac"
    soundfile.write(folder / "whole.flac", np.random.default_rng(0).normal(0, 0.1, 80_000), 8000)
    paths["cannot be read from second"].write_bytes((folder / "whole.flac").read_bytes()[:40_000])
    paths["header-less|no sound"] = folder / "sound.raw"
    paths["header-less|no sound"].write_bytes(bytes(100))
    return paths


def test_what_is_no_sound_is_refused_in_one_sentence(tmp_path: Path) -> None:
    for word, path in bad_files(tmp_path).items():
        with pytest.raises(InputError, match=word) as raised:
            read_sound(path)
        assert str(path) in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("form", "subtype"),
    [
        ("WAV", "PCM_16"), ("WAV", "MS_ADPCM"), ("WAVEX", "FLOAT"), ("RF64", "PCM_16"), ("W64", "PCM_24"),
        ("AIFF", "PCM_16"), ("AU", "ULAW"), ("SVX", "PCM_16"),
    ],
)  # fmt: skip
def test_a_file_that_was_cut_short_says_how_much_is_missing(
    tmp_path: Path, rng: np.random.Generator, form: str, subtype: str
) -> None:
    """libsndfile would read what is there, and say nothing."""
    path = tmp_path / "sound"
    soundfile.write(path, rng.uniform(-0.5, 0.5, 32_000), 16_000, subtype, format=form)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 4])
    with pytest.raises(InputError, match=r"ends after 0\.\d+ seconds, and about 1\.\d+ .* are missing") as raised:
        SoundReader(path)
    there, missing = map(float, re.findall(r"\d\.\d{3}", str(raised.value)))
    assert there + missing == pytest.approx(2.0, abs=0.25)  # a block of ADPCM is .06 s


def test_what_is_no_loss_is_none(tmp_path: Path) -> None:
    """A chunk after the sound that was cut, and lengths that a program did not know that wrote into a pipe."""
    path = tmp_path / "sound.wav"
    soundfile.write(path, np.full(8000, 0.25), 16_000, "PCM_16")
    content = path.read_bytes()
    path.write_bytes(content + b"LIST" + (500).to_bytes(4, "little") + bytes(20))
    assert read_sound(path).samples.shape == (1, 8000)
    place = content.index(b"data") + 4
    for length in (2**31 - 1 - 36, 2**32 - 1):
        path.write_bytes(content[:place] + length.to_bytes(4, "little") + content[place + 4 :])
        np.testing.assert_allclose(read_sound(path).samples, 0.25)


def test_a_length_that_is_a_lie_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "sound.flac"
    soundfile.write(path, np.full(50_000, 0.25), 8000)
    content = bytearray(path.read_bytes())
    content[8 + 13] |= 0x0F  # total samples: 36 bits
    content[8 + 14 : 8 + 18] = b"\xff" * 4
    path.write_bytes(content)
    with pytest.raises(InputError, match="is damaged: it cannot be read from second"):
        read_sound(path)


def test_a_block_of_many_channels_is_no_larger_than_one_of_few(tmp_path: Path) -> None:
    path = tmp_path / "many.wav"
    soundfile.write(path, np.zeros((5000, 1000), np.int16), 16_000, "PCM_16")
    with SoundReader(path) as file:
        blocks = list(file.blocks())
    assert max(block.size for block in blocks) <= 2**21
    assert sum(block.shape[1] for block in blocks) == 5000


@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e16, 1e300], ids=str)
def test_numbers_that_are_no_samples(tmp_path: Path, value: float) -> None:
    """Also in one channel of several."""
    samples = np.zeros((2000, 3))
    samples[1000, 2] = value
    path = tmp_path / "sound.wav"
    soundfile.write(path, samples, 8000, "DOUBLE")
    said = "a number beyond 1e\\+15" if value == 1e16 else "NaN or infinity"
    with pytest.raises(InputError, match=f"holds {said} at second 0.125"):
        read_sound(path)


def test_a_stream_of_unknown_length_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "stream.flac"
    soundfile.write(path, np.zeros(5000), 8000)
    content = bytearray(path.read_bytes())
    # Total samples: the last 36 bits before the checksum in the block STREAMINFO.
    content[8 + 13] &= 0xF0
    content[8 + 14 : 8 + 18] = bytes(4)
    path.write_bytes(content)
    with pytest.raises(InputError, match="how long"):
        read_sound(path)


@pytest.mark.skipif(os.name != "posix", reason="only there a name may be any bytes")
def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.wav")
    soundfile.write(os.fsencode(path), np.zeros(9), 8000)
    assert read_sound(path).samples.shape == (1, 9)


def test_folders_are_searched_and_files_are_taken_as_they_are(tmp_path: Path) -> None:
    names = ["b.wav", "a.FLAC", "deep/er/c.ogg", ".hidden.wav", "notes.txt", "x.part"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    given_file = tmp_path / "notes.txt"
    found = find_sounds([given_file, tmp_path, tmp_path / "b.wav"])
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        "notes.txt",
        "a.FLAC",
        "b.wav",
        "deep/er/c.ogg",
    ]


def test_a_folder_without_sounds_and_a_missing_path_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no sound"):
        find_sounds([tmp_path])
    with pytest.raises(InputError, match="does not exist"):
        find_sounds([tmp_path / "none"])
