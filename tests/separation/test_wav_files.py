import io
import os
import resource
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.separation.audio.reading import SoundReader, read_sound
from pyro_mixdvae.separation.audio.writing import count_clipped, encode, sound_bytes, wav_header, wav_writers

sounds = st.tuples(st.integers(1, 3), st.integers(1, 60), st.integers(0, 2**32 - 1))


def noise(channels: int, n: int, seed: int, scale: float = 0.5) -> np.ndarray:
    return (scale * np.random.default_rng(seed).standard_normal((channels, n))).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(sounds, st.sampled_from([16, 24, 32]))
def test_what_is_written_is_what_libsndfile_reads(shape: tuple[int, int, int], bits: int) -> None:
    samples = noise(*shape)
    content = sound_bytes(samples, 11025, bits)
    with soundfile.SoundFile(io.BytesIO(content)) as file:
        assert file.subtype == {16: "PCM_16", 24: "PCM_24", 32: "FLOAT"}[bits]
        assert file.samplerate == 11025
        read = file.read(dtype="float32", always_2d=True).T
    if bits == 32:
        np.testing.assert_array_equal(read, samples)
    else:
        step = 2.0 ** (1 - bits)
        np.testing.assert_allclose(read, np.clip(samples, -1, 1 - step), atol=step / 2)
        # What was read is written as it was.
        assert sound_bytes(read, 11025, bits) == content


def test_whole_numbers_are_also_what_pythons_own_reader_reads() -> None:
    samples = np.array([[0.5, -1, 1, 3, -7, 2**-15, 0.4 * 2**-15]], np.float32)
    with wave.open(io.BytesIO(sound_bytes(samples, 16000, 16))) as file:
        assert file.getnframes() == 7
        values = np.frombuffer(file.readframes(7), "<i2")
    assert values.tolist() == [16384, -32768, 32767, 32767, -32768, 1, 0]
    assert count_clipped(samples, 16) == 2
    assert count_clipped(samples, 32) == 0
    with wave.open(io.BytesIO(sound_bytes(samples, 16000, 24))) as file:
        data = file.readframes(7)
    values = [int.from_bytes(data[3 * i : 3 * i + 3], "little", signed=True) for i in range(7)]
    assert values == [2**22, -(2**23), 2**23 - 1, 2**23 - 1, -(2**23), 2**8, 102]


def test_blocks_make_the_same_file_as_the_whole(tmp_path: Path) -> None:
    first, second = noise(2, 1001, 1), noise(2, 1001, 2, scale=2)
    for bits in (16, 24, 32):
        paths = [tmp_path / f"{bits}" / "a.wav", tmp_path / f"{bits}" / "b.wav"]
        with wav_writers(paths, 8000, 2, 1001, bits) as writers:
            for start in range(0, 1001, 300):
                for writer, samples in zip(writers, (first, second), strict=True):
                    writer.write(samples[:, start : start + 300])
        assert paths[0].read_bytes() == sound_bytes(first, 8000, bits)
        assert paths[1].read_bytes() == sound_bytes(second, 8000, bits)
        assert [writer.clipped for writer in writers] == [count_clipped(first, bits), count_clipped(second, bits)]
        assert (writers[1].clipped > 500) == (bits != 32)


def test_an_odd_number_of_bytes_is_padded(tmp_path: Path) -> None:
    with wav_writers([tmp_path / "a.wav"], 8000, 1, 3, 24) as (writer,):
        writer.write(noise(1, 3, 0))
    content = (tmp_path / "a.wav").read_bytes()
    assert len(content) % 2 == 0
    assert content == sound_bytes(noise(1, 3, 0), 8000, 24)


def write_stems(paths: list[Path], length: int, blocks: list[np.ndarray]) -> None:
    """Write blocks, to each of the files the same, and make an exception of None."""
    with wav_writers(paths, 8000, 1, length, 16) as writers:
        for block in blocks:
            if block is None:
                raise KeyboardInterrupt
            for writer in writers:
                writer.write(block)


def test_no_stem_appears_if_the_work_between_fails(tmp_path: Path) -> None:
    paths = [tmp_path / "new" / "a.wav", tmp_path / "b.wav"]
    with pytest.raises(KeyboardInterrupt):
        write_stems(paths, 9, [noise(1, 8, 0), None])
    with pytest.raises(ValueError, match="holds 8 samples where 9"):
        write_stems(paths, 9, [noise(1, 8, 0)])
    for channels, n in ((1, 10), (2, 9)):
        with pytest.raises(ValueError, match="do not fit"):
            write_stems(paths, 9, [noise(channels, n, 0)])
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def _small_disk() -> Iterator[None]:
    """No file may grow beyond 10,000 bytes."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, old[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, old)


@pytest.mark.usefixtures("_small_disk")
@pytest.mark.parametrize("n", [5_000, 100_000])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path, n: int) -> None:
    """While blocks are written, or only when what was buffered goes out in the end."""
    with pytest.raises(InputError, match=r"a.wav cannot be written \(file too large\): choose .*\.$"):
        write_stems([tmp_path / "out" / "a.wav", tmp_path / "b.wav"], n, [noise(1, 100, i) for i in range(n // 100)])
    assert list(tmp_path.iterdir()) == []


def test_existing_files_stay_unless_they_may_be_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_text("mine")
    with pytest.raises(InputError, match="exists already"), wav_writers([path], 8000, 1, 1):
        pass
    assert path.read_text() == "mine"
    with wav_writers([path], 8000, 1, 1, overwrite=True) as (writer,):
        writer.write(np.zeros((1, 1), np.float32))
    assert read_sound(path).samples.tolist() == [[0.0]]


def test_what_cannot_be_written_is_refused() -> None:
    with pytest.raises(InputError, match="8 bits"):
        wav_header(8000, 1, 1, 8)
    with pytest.raises(ValueError, match="NaN"):
        encode(np.full((1, 1), np.nan, np.float32), 16)


def test_above_four_gigabytes_it_is_rf64(tmp_path: Path) -> None:
    """A sparse file: a header, and a hole of 4.8 GB."""
    length = 600_000_001
    path = tmp_path / "long.wav"
    path.write_bytes(wav_header(48_000, 2, length, 32))
    os.truncate(path, path.stat().st_size + 8 * length)
    with SoundReader(path) as file:
        assert (file.rate, file.channels, file.length) == (48_000, 2, length)
        assert file.read(length - 3, 10).shape == (2, 3)
    with soundfile.SoundFile(path) as file:
        assert (file.format, file.subtype) == ("RF64", "FLOAT")
