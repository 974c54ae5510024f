"""Sounds as bytes that come, and stems as files that grow or bytes that leave."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.separation.audio.writing import growing_header, sound_bytes
from pyro_mixdvae.separation.live.reading import ENCODINGS, SoundStream
from pyro_mixdvae.separation.live.writing import GrowingWav, StemBytes, StemFiles


class Pipe:
    """Gives the bytes of a pipe some at a time."""

    def __init__(self, data: bytes, at_once: int = 5):
        self._stream, self._at_once = io.BytesIO(data), at_once

    def read1(self, size: int, /) -> bytes:
        return self._stream.read(min(size, self._at_once))


def noise(n: int, channels: int, scale: float = 0.2) -> np.ndarray:
    return (scale * np.random.default_rng(n).standard_normal((n, channels))).astype(np.float32)


def wav(samples: np.ndarray, subtype: str, rate: int = 11025, kind: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, subtype, format=kind)
    return file.getvalue()


def read(data: bytes, at_once: int = 5) -> tuple[np.ndarray, SoundStream]:
    sound = SoundStream.of_wav(Pipe(data, at_once))
    return np.concatenate([np.zeros((0, sound.channels), np.float32), *sound.blocks()]), sound


@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "RF64"])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("channels", [1, 3])
def test_wav_of_any_kind_is_what_libsndfile_reads(kind: str, subtype: str, channels: int) -> None:
    data = wav(noise(101, channels), subtype, kind=kind)
    expected, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    for at_once in (1, 7, 10_000):
        found, sound = read(data, at_once)
        assert (sound.rate, sound.channels) == (rate, channels)
        np.testing.assert_allclose(found, expected, atol=1e-7)


@pytest.mark.parametrize("size", [0, 2**32 - 1, 2**31 - 2**10, None])
def test_the_length_may_be_unknown(size: int | None) -> None:
    """As ffmpeg and sox write it into a pipe; where it is known, what follows the sound is none."""
    samples = noise(50, 2)
    data = sound_bytes(samples.T, 8000)
    place = data.index(b"data") + 4
    if size is None:
        data += b"LIST\4\0\0\0abcd"
    else:
        data = data[:4] + struct.pack("<I", size) + data[8:place] + struct.pack("<I", size) + data[place + 4 :]
        data += b"\1\2\3"  # half a sample
    np.testing.assert_array_equal(read(data)[0], samples)


def test_chunks_before_the_sound_are_passed_over() -> None:
    samples = noise(9, 1)
    data = sound_bytes(samples.T, 8000)
    more = b"LIST" + struct.pack("<I", 200_001) + bytes(200_002)
    np.testing.assert_array_equal(read(data[:12] + more + data[12:], 5000)[0], samples)


@pytest.mark.parametrize("encoding", list(ENCODINGS))
def test_samples_without_a_header(encoding: str) -> None:
    values = np.array([[0.5, -1.0], [0.0, 0.25]])
    kinds = {"u8": "u1", "s16le": "<i2", "s32le": "<i4", "f32le": "<f4", "f64le": "<f8"}
    if encoding == "s24le":
        data = b"".join(int(v * 2**23).to_bytes(3, "little", signed=True) for v in values.flat)
    elif encoding.startswith("f"):
        data = values.astype(kinds[encoding]).tobytes()
    else:
        bits = int(encoding.strip("usle"))
        data = (values * 2 ** (bits - 1) + 128 * (encoding == "u8")).astype(kinds[encoding]).tobytes()
    found = np.concatenate(list(SoundStream(Pipe(data), 16000, 2, encoding).blocks()))
    np.testing.assert_array_equal(found, values)


GOOD = sound_bytes(noise(9, 1).T, 8000)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "standard input is empty"),
        (b"RIFF", "ends within the header"),
        (GOOD[:30], "ends within the header"),
        (GOOD[:40], "ends within the header"),
        (b"fLaC" + bytes(100), "is no WAV file"),
        (GOOD[:8] + b"AVI " + GOOD[12:], "is no WAV file"),
        (GOOD[:12] + b"data" + GOOD[-40:], "does not say what its samples are"),
        (GOOD[:12] + b"fmt \2\0\0\0\1\0" + GOOD[12:], "a damaged header"),
        (wav(noise(9, 1), "ULAW"), "of code 7 with 8 bits"),
        (sound_bytes(noise(9, 1).T, 8000).replace(struct.pack("<HHI", 3, 1, 8000), struct.pack("<HHI", 3, 0, 8000)),
         "of 0 channels"),
    ],
)  # fmt: skip
def test_what_is_no_sound_is_said_in_a_sentence(data: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says) as refused:
        read(data)
    assert str(refused.value).endswith(".")


def test_an_encoding_that_is_unknown() -> None:
    with pytest.raises(InputError, match=r"'s16be' are unknown: choose u8, s16le"):
        SoundStream(Pipe(b""), 8000, 1, "s16be")


@pytest.mark.parametrize(("bad", "says"), [(np.nan, "NaN or infinity"), (1e20, "a number beyond")])
def test_the_second_of_a_sample_that_cannot_be_used(bad: float, says: str) -> None:
    samples = noise(800, 1)
    samples[400] = bad
    sound = SoundStream(Pipe(samples.tobytes(), 400), 8000, 1, "f32le")
    blocks = []
    with pytest.raises(InputError, match=rf"{says}.* at second 0.050"):  # noqa: PT012 - what came before is there
        for block in sound.blocks():
            blocks.append(block)
    np.testing.assert_array_equal(np.concatenate(blocks), samples[:400])


def test_what_came_before_it_in_one_read_is_given_out() -> None:
    samples = noise(800, 1)
    samples[750] = np.nan
    blocks = SoundStream(Pipe(samples.tobytes(), 1 << 16), 8000, 1, "f32le").blocks()
    np.testing.assert_array_equal(next(blocks), samples[:750])
    with pytest.raises(InputError, match=r"at second 0\.094"):
        next(blocks)


@pytest.mark.parametrize("channels", [0, 65, 200_000])
def test_channels_that_no_sound_has(channels: int) -> None:
    with pytest.raises(InputError, match=f"of {channels} channels: give one of 1 to 64"):
        SoundStream(Pipe(b""), 8000, channels, "s16le")


def test_more_stems_than_channels_of_a_wav_file() -> None:
    with pytest.raises(InputError, match="20000 channels of 32 bits: a WAV file holds up to 16383"):
        StemBytes(list.append, 8000, 20_000, 32, is_raw=False)


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_a_growing_file_is_whole_at_any_moment(tmp_path: Path, bits: int) -> None:
    samples, path = noise(101, 1), tmp_path / "new" / "a.wav"
    file = GrowingWav(path, 8000, 1, bits)
    for begin in range(0, 101, 33):
        file.write(samples[begin : begin + 33].T)
        found, rate = soundfile.read(path, dtype="float32", always_2d=True)
        assert rate == 8000
        np.testing.assert_allclose(found, samples[: begin + 33], atol=2.0 ** (1 - bits))
    file.close(99)
    assert path.stat().st_size % 2 == 0
    assert soundfile.info(path).frames == 99


def test_a_growing_file_may_grow_beyond_four_gigabytes() -> None:
    few, many = growing_header(48_000, 2, 10, 32), growing_header(48_000, 2, 2**30, 32)
    assert len(few) == len(many)
    assert (few[:4], many[:4], few[12:16], many[12:16]) == (b"RIFF", b"RF64", b"JUNK", b"ds64")
    total, data, length = struct.unpack("<QQQ", many[20:44])
    assert (data, length, total) == (2**33, 2**30, 2**33 + len(many) - 8)
    with_sound = io.BytesIO(growing_header(48_000, 1, 3, 32) + np.zeros(3, "<f4").tobytes())
    assert soundfile.info(with_sound).frames == 3


def test_stems_end_together(tmp_path: Path) -> None:
    """Also when the run ends between one and the other."""
    paths = [tmp_path / "a.wav", tmp_path / "b.wav"]
    stems = noise(20, 2).T[:, None]

    def interrupted() -> None:
        with StemFiles(paths, 8000, 1, 24) as files:
            files.write(stems)
            files._files[0].write(stems[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    for path, stem in zip(paths, stems, strict=True):
        np.testing.assert_allclose(soundfile.read(path)[0], stem[0], atol=1e-6)
    assert paths[0].stat().st_size == paths[1].stat().st_size


def test_a_place_where_no_file_can_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be written"):
        StemFiles([tmp_path / "a.wav", tmp_path / "file" / "b.wav"], 8000, 1, 16)


def test_stems_as_channels_of_one_sound() -> None:
    given: list[bytes] = []
    stems = noise(30, 4, scale=2.0).reshape(30, 2, 2).transpose(1, 2, 0)  # [N, channels, n]
    with StemBytes(given.append, 8000, 4, 16, is_raw=False) as leaving:
        leaving.write(stems[..., :10])
        leaving.write(stems[..., 10:])
    data = b"".join(given)
    np.testing.assert_allclose(read(data)[0].T, np.clip(stems.reshape(4, 30), -1, 1), atol=2.0**-15)
    assert leaving.clipped == int((np.abs(stems) > 1).sum()) > 0
    raw: list[bytes] = []
    with StemBytes(raw.append, 8000, 4, 16, is_raw=True) as leaving:
        leaving.write(stems)
    assert b"".join(raw) == data[-30 * 4 * 2 :]
