"""Where sounds come from, and one clear sentence for everything that is none."""

from __future__ import annotations

import io
import os
import struct
import sys
import time
import tracemalloc
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmagent.errors import UserError
from mmagent_audio import sniff, sound_format
from mmagent_audio.reader import AudioReader
from mmagent_audio.sound import Sound

READER = AudioReader()


def samples(sound: Sound) -> Any:
    """All samples of a sound."""
    return np.concatenate(list(sound.blocks()))


def said(source: object) -> str:
    """What the reader says about something that it refuses, at the latest when all of it is read."""
    with pytest.raises(UserError) as caught:
        READER.fingerprint(READER.load(source))
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.exit_code == 2
    return message


def wav(
    rate: int = 8000, channels: int = 1, tag: int = 1, data: bytes = bytes(400), promised: int | None = None
) -> bytes:
    """A 16-bit WAV file, whatever its header says."""
    step = 2 * channels
    head = struct.pack("<HHIIHH", tag, channels, rate, (rate * step) & 0xFFFFFFFF, step & 0xFFFF, 16)
    length = len(data) if promised is None else promised
    body = b"WAVE" + b"fmt " + struct.pack("<I", 16) + head + b"data" + struct.pack("<I", length) + data
    return b"RIFF" + struct.pack("<I", (length + 36) & 0xFFFFFFFF) + body


def test_without_soundfile_the_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    assert "pip install 'mmagent[audio]'" in said(wav())


def test_every_kind_of_source_gives_the_same_sound(
    tone: Callable[..., Any],
    written: Callable[..., bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = written(tone(), subtype="FLOAT")
    path = tmp_path / "a sound.wav"
    path.write_bytes(data)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(BytesIO(data)))
    array = {"array": tone().astype(np.float64), "sampling_rate": 8000}
    with path.open("rb") as stream:
        sources: list[object] = [
            *(path, str(path), data, bytearray(data), memoryview(data), "-", stream, BytesIO(data)),
            *((tone(), 8000), (tone()[None], 8000.0), array, {"bytes": data, "path": None}),
            {"bytes": None, "path": str(path)},
        ]
        assert len({READER.fingerprint(READER.load(source)) for source in sources}) == 1
    assert READER.describe(READER.load(path)) == "sound, 0.50 s, 8,000 Hz, mono"


def test_formats_depths_rates_and_channels(tone: Callable[..., Any], written: Callable[..., bytes]) -> None:
    kinds = {
        ("WAV", "PCM_U8"): 0.02,
        ("WAV", "PCM_16"): 1e-4,
        ("WAV", "PCM_24"): 1e-6,
        ("WAV", "DOUBLE"): 1e-7,
        ("WAV", "ULAW"): 0.03,
        ("FLAC", "PCM_16"): 1e-4,
        ("OGG", "VORBIS"): 0.2,
        ("OGG", "OPUS"): 0.2,
        ("MP3", None): 0.2,
    }
    for (kind, subtype), most in kinds.items():
        for rate, channels in ((8000, 1), (48_000, 2)):
            wave = tone(rate=rate, channels=channels, seconds=0.5)
            data = written(wave, rate, kind, subtype)
            assert sniff(data[:4096]), kind
            sound = READER.load(data)
            assert (sound.rate, sound.channels) == (rate, channels)
            assert sound.seconds == pytest.approx(0.5, abs=0.06)
            heard = samples(sound)
            if kind != "MP3":
                assert np.abs(heard - wave.reshape(heard.shape)).mean() < most
            assert heard.std() == pytest.approx(wave.std(), rel=0.1)


def test_the_fingerprint_is_of_the_samples(tone: Callable[..., Any], written: Callable[..., bytes]) -> None:
    wave = np.round(tone() * 32767) / 32768
    same = {READER.fingerprint(READER.load(written(wave, 8000, kind))) for kind in ("WAV", "FLAC")}
    assert same == {READER.fingerprint(READER.load(((wave * 32768).astype(np.int16), 8000)))}
    others = {READER.fingerprint(READER.load(one)) for one in ((wave, 8001), (wave[1:], 8000), (-wave, 8000))}
    assert len(same | others) == 4


def test_the_content_decides_and_not_the_suffix(
    tone: Callable[..., Any], written: Callable[..., bytes]
) -> None:
    for kind, name in (("WAV", "WAV"), ("FLAC", "FLAC"), ("OGG", "Ogg"), ("MP3", "MP3")):
        assert sound_format(written(tone(), 8000, kind)[:4096]) == name
    for head in (
        b"",
        b"RIFF\0\0\0\0WEBP",
        b"\xff\xd8\xff\xe0",
        b"\xff\xfe h i",
        b"hello",
        b"GIF89a",
        b"\x89PNG",
    ):
        assert not sniff(head)


BROKEN: dict[str, tuple[Any, str]] = {
    "empty": (b"", "empty (0 bytes)"),
    "text": (b"Dear reader, this is a letter.\n" * 9, "starts like"),
    "pdf": (b"%PDF-1.7 and so on", "starts like a PDF"),
    "header only": (wav(data=b""), "holds no samples"),
    "half a header": (wav()[:30], "cut off before its samples"),
    "a riff of nothing": (b"RIFF\x00\x00\x00\x00WAVE", "cut off before its samples"),
    "rate 0": (wav(rate=0), "rate of 0 Hz"),
    "rate 1": (wav(rate=1), "rate of 1 Hz; 1,000 to 768,000 Hz"),
    "rate 10 MHz": (wav(rate=10_000_000), "rate of 10,000,000 Hz"),
    "codec": (wav(tag=0x1234), "cannot be opened"),
    "channels": (wav(channels=1000, data=bytes(4000)), "1000 channels; 1 to 64"),
    "no channels": (wav(channels=0), "has 0 channels"),
    "10^9 points": (wav(promised=2_000_000_000), "promises 2,000,000,000 bytes of samples and 400 are there"),
    "nan": ((np.array([0, np.nan, 0]), 8000), "no number (NaN or infinite) at 0.000 s"),
    "array, rate 0": ((np.zeros(9), 0), "rate of 0 Hz"),
    "array, rate nan": ((np.zeros(9), float("nan")), "is nan; it is a whole number"),
    "array, rate none": ({"array": np.zeros(9)}, "is None; it is a whole number"),
    "array without rate": (np.zeros(9), "says nothing of its rate"),
    "array of words": ((np.array(["a"]), 8000), "no sound"),
    "array of nothing": ((np.zeros(0), 8000), "holds no samples"),
    "array of three axes": ((np.zeros((2, 2, 2)), 8000), "shape (2, 2, 2)"),
    "number": (3, "cannot be made of a int"),
    "no name": ("", "is empty. Give a path"),
    "address": ("https://example.org/a.wav", "Download it first"),
    "an empty mapping": ({}, "holds no sound"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_bad_input_is_one_sentence(name: str) -> None:
    source, words = BROKEN[name]
    tracemalloc.start()
    begun = time.process_time()
    assert words in said(source)
    assert time.process_time() - begun < 2
    assert tracemalloc.get_traced_memory()[1] < 30 * 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_a_file_that_is_cut_off(
    tone: Callable[..., Any], written: Callable[..., bytes], kind: str, share: float
) -> None:
    data = written(tone(seconds=3.0), 8000, kind)
    message = said(data[: int(share * len(data))])
    assert "Copy it again" in message


def test_what_is_wrong_with_an_mp3_is_told_once_and_rightly(
    tone: Callable[..., Any], written: Callable[..., bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    """Its decoder writes notes to the process's own standard error."""
    whole = written(tone(seconds=2.0), kind="MP3")
    noise = whole[:4] + np.random.default_rng(0).bytes(20_000)
    spoilt = whole[: len(whole) // 2] + bytes(500) + whole[len(whole) // 2 + 500 :]
    for data, words in ((noise, "no sound is found behind its first bytes"), (spoilt, "is cut off")):
        with pytest.raises(UserError, match=words):
            READER.load(data)
    assert capfd.readouterr().err == ""
    os.write(2, b"still there")
    assert capfd.readouterr().err == "still there"


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3"])
def test_garbage_after_the_head_never_raises_anything_else(
    tone: Callable[..., Any], written: Callable[..., bytes], kind: str
) -> None:
    data = bytearray(written(tone(), 8000, kind))
    rng = np.random.default_rng(0)
    for _ in range(20):
        harmed = bytearray(data)
        for at in rng.integers(4, len(data), 30):
            harmed[at] = rng.integers(256)
        try:
            READER.fingerprint(READER.load(bytes(harmed)))
        except UserError as error:
            assert "\n" not in str(error)  # noqa: PT017


def test_samples_that_are_no_numbers_are_placed(
    tone: Callable[..., Any], written: Callable[..., bytes]
) -> None:
    for value in (np.nan, np.inf, -np.inf):
        wave = tone()
        wave[2000] = value
        assert "at 0.250 s" in said(written(wave, 8000, "WAV", "FLOAT"))


def test_files_that_are_missing_or_no_files(tmp_path: Path, written: Callable[..., bytes]) -> None:
    (tmp_path / "seven.wav").write_bytes(written(np.zeros(10, np.float32)))
    assert "Did you mean 'seven.wav'?" in said(tmp_path / "sevn.wav")
    assert "is a directory" in said(tmp_path)
    assert "/dev/null is a device" in said("/dev/null")


def test_a_promise_of_a_billion_points_in_flac(
    tone: Callable[..., Any], written: Callable[..., bytes]
) -> None:
    data = bytearray(written(tone(), 8000, "FLAC"))
    data[21] |= 0x0F  # STREAMINFO: the top bits of 36 that count the samples
    assert "hours; at most 24 hours are read" in said(bytes(data))
    data = bytearray(written(tone(), 8000, "FLAC"))
    data[22] = 0x10  # 268 million samples: 9.3 hours
    assert "can be decoded" in said(bytes(data)) or "damaged" in said(bytes(data))


def test_a_long_sound_is_read_in_little_memory(tmp_path: Path) -> None:
    import soundfile

    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", 48_000, 2, "PCM_16") as file:
        block = (np.random.default_rng(0).standard_normal((480_000, 2)) * 0.1).astype(np.float32)
        for _ in range(12):
            file.write(block)
    tracemalloc.start()
    sound = READER.load(path)
    READER.fingerprint(sound)
    assert sound.seconds == 120
    assert tracemalloc.get_traced_memory()[1] < 8 * 2**20  # the samples take 46 MB
    tracemalloc.stop()
