"""What a sound is made of: its profile, computed in one pass, and its picture."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mmagent.figures import entropy_bits
from mmagent.profile import Profile
from mmagent_audio.sound import Sound
from mmagent_audio.survey import SILENCE, Survey

if TYPE_CHECKING:
    from mmagent.profile import Told

QUIET = 40.0  # dB below the loudest frame counts as silence ...
SILENT = 1e-6  # ... and so does a power below -60 dBFS
ROLLOFF = 0.85  # of the power lies below
BAND = 0.99  # of the power lies below: how much of the rate is made use of
BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32, "FLOAT": 32, "DOUBLE": 64}
TONAL, VOICED = 0.5, 0.25  # shares of frames with a pitch
NOISY = 0.3  # spectral flatness


def profile(sound: Sound) -> Profile:
    """The profile of a sound. Raises `UserError` where its samples turn out to be damaged."""
    found = Survey(sound)
    structure = _structure(found)
    channels = {1: "mono", 2: "stereo"}.get(sound.channels, f"{sound.channels} channels")
    return Profile(
        summary=f"{_kind(found, structure)}, {sound.seconds:,.2f} s, {sound.rate:,} Hz, {channels}",
        aspects={
            "elements": _elements(found),
            "sampling": {
                "sampling rate (Hz)": sound.rate,
                "channels": sound.channels,
                "samples per channel": sound.frames,
                "duration (s)": sound.seconds,
                "99 % of the power lies below (Hz)": _below(found, BAND),
            },
            "structure": structure,
            "information": _information(found),
            "noise": _noise(found),
        },
        draw=partial(_draw, found),
    )


def _draw(found: Survey, figure: object) -> None:
    from mmagent_audio.picture import draw

    draw(found, figure)


def _elements(found: Survey) -> dict[str, Told]:
    sound, moments = found.sound, found.moments
    count = sound.frames * sound.channels
    loudness, peak = math.sqrt(found.power / count), max(abs(moments.low), abs(moments.high))
    return {
        "file format": sound.format,
        "coding": sound.coding,
        "bit depth (bits)": BITS.get(sound.coding) or _array_bits(sound.coding),
        "peak (dBFS)": _decibels(peak**2),
        "level, RMS (dBFS)": _decibels(loudness**2),
        "crest factor (dB)": _decibels((peak / loudness) ** 2) if loudness else None,
        "DC offset (of full scale)": moments.mean,
        "clipped samples (share)": found.clipped / count,
    }


def _structure(found: Survey) -> dict[str, Told]:
    power, hertz = found.spectrum, _hertz(found)
    total, pitches = float(power.sum()), np.array(found.pitches)
    silent = total < SILENCE
    flatness = float(np.exp(np.log(power[1:] + SILENCE**2).mean()) / (power[1:].mean() + SILENCE**2))
    return {
        "silence (share of time)": None if found.cancels else float((found.levels < _quiet(found)).mean()),
        "spectral centroid (Hz)": None if silent else float((power * hertz).sum() / total),
        "spectral rolloff, 85 % (Hz)": _below(found, ROLLOFF),
        "spectral flatness (0 tone, 1 white noise)": None if silent or found.short else flatness,
        "fundamental, median (Hz)": float(np.median(pitches)) if len(pitches) else None,
        "fundamental, middle half from (Hz)": float(np.quantile(pitches, 0.25)) if len(pitches) else None,
        "fundamental, middle half to (Hz)": float(np.quantile(pitches, 0.75)) if len(pitches) else None,
        "frames with a pitch (share)": len(pitches) / max(1, found.looked),
    }


def _information(found: Survey) -> dict[str, Told]:
    return {
        "entropy of a sample (bits, of 8)": entropy_bits(found.histogram),
        "entropy of the spectrum (bits)": None if found.short else entropy_bits(found.spectrum),
        "compressed by zlib to (share of 16-bit samples)": found.deflated.share,
        "correlation of neighbouring samples": found.alike.value,
        "correlation of left and right": found.likeness,
    }


def _noise(found: Survey) -> dict[str, Told]:
    """Noise is what is left in the quietest moments, or between the lines of the spectrum if that is less.

    Of less than one frame nobody knows.
    """
    quietest = float(np.quantile(found.levels, 0.05))
    between = float(np.median(found.spectrum)) * found.n_fft
    floor, mean = 0.0 if found.short else min(quietest, between), float(found.levels.mean())
    return {
        "noise floor, estimated (dBFS)": _decibels(floor),
        "sound to noise, estimated (dB)": _decibels(mean / floor) if floor > SILENCE else None,
        "digital silence (share of samples)": found.zeros / found.sound.frames,
        "missing samples (share)": 0.0,  # a sound with samples that are no numbers is refused
    }


def _kind(found: Survey, structure: dict[str, Told]) -> str:
    """What the sound is like, as far as pitch and pauses tell."""
    pitched = float(structure["frames with a pitch (share)"] or 0)
    pitches = found.pitches
    if found.cancels:
        return "sound whose channels cancel each other"
    if float(found.levels.max()) < SILENT:
        return "silence"
    if pitched >= TONAL and np.quantile(pitches, 0.9) < 1.03 * np.quantile(pitches, 0.1):
        return "steady tone"
    if pitched >= VOICED:
        return "sound with a changing pitch, as speech or song has"
    flatness = float(structure["spectral flatness (0 tone, 1 white noise)"] or 0)
    return "noise-like sound" if flatness > NOISY else "sound"


def _quiet(found: Survey) -> float:
    return max(SILENT, float(found.levels.max()) / 10 ** (QUIET / 10))


def _below(found: Survey, share: float) -> float | None:
    """The frequency below which a share of the power lies."""
    gone = np.cumsum(found.spectrum)
    if gone[-1] < SILENCE:
        return None
    return float(_hertz(found)[int(np.searchsorted(gone, share * gone[-1]))])


def _hertz(found: Survey) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.linspace(0, found.rate / 2, found.n_fft // 2 + 1)


def _array_bits(coding: str) -> int | None:
    try:
        return np.dtype(coding).itemsize * 8
    except TypeError:
        return None


def _decibels(power: float) -> float | None:
    return 10 * math.log10(power) if power > 0 else None
