"""Words spoken by text-to-speech programs, and tones and noises, as labelled sounds.

espeak-ng (formant synthesis, many voices, any pitch and speed) and flite (five voices made of recordings) are
free programs: `apt-get install espeak-ng flite`. What is made depends on the seed alone.
"""

from __future__ import annotations

import io
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float32]

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WORDS = """
    yes no up down left right on off stop go forward backward follow learn begin end open close start wait
    house tree bird cat dog horse cow sheep fish mouse lion bear wolf frog snake apple banana orange lemon
    bread water milk coffee tea sugar salt butter cheese table chair bed door window wall floor roof garden
    river mountain ocean island forest desert sky cloud rain snow wind storm fire ice stone sand gold silver
    iron copper red green blue yellow black white purple brown pink grey big small long short high low fast
    slow hot cold warm cool old new young good bad happy sad angry quiet loud bright dark heavy light clean
    dirty full empty early late morning evening night today tomorrow yesterday monday friday sunday january
    summer winter spring autumn hour minute second week month year money paper pencil book letter number
    word story music song dance picture camera phone radio computer machine engine wheel car train plane ship
    boat bridge road street city village country school teacher student doctor nurse farmer driver king queen
    mother father brother sister child baby friend people man woman boy girl head hand foot eye ear nose
    mouth heart bone blood skin hair jacket shirt trousers shoe hat glove ring knife fork spoon plate bottle
    box bag key lock lamp clock mirror hammer nail rope ball game toy doll kite drum guitar piano violin
    trumpet eleven twelve twenty thirty hundred thousand million plus minus equal zebra visual marvin sheila
    seventy sixteen fifteen nineteen heaven fun sun won tune tree free fall fine five-star nose sex sick
""".split()

ESPEAK_ACCENTS = (
    *(
        "en-us",
        "en-us",
        "en-gb",
        "en-gb-x-rp",
        "en-gb-scotland",
        "en-gb-x-gbclan",
        "en-gb-x-gbcwmd",
        "en-029",
    ),
)
ESPEAK_VOICES = """
    Adam Alex Alicia Andrea Andy Annie Antonio Auntie Belinda Benjamin Boris Caleb David Denis Diogo Ed Edward
    Gene Gene2 Henrique Hugo Iven Iven2 Jacky John Lee Linda Marcelo Marco Mario Max Michael Michel Miguel
    Mike Mr_Serious Nguyen Pablo Paul Pedro Quincy Rob Robert Steph Steph2 Steph3 Tweaky Zac anika female1
    female2 female3 female4 female5 klatt klatt2 klatt3 klatt4 male1 male2 male3 male4 male5 male6 male7 male8
    norbert sandro shelby travis victor grandma grandpa
""".split()
HELD_OUT = ("Linda", "Paul", "Hugo", "Steph2", "male5", "female4", "klatt3", "Max", "flite slt", "flite rms")
FLITE = ("flite kal", "flite kal16", "flite awb", "flite rms", "flite slt")
"""Voices that no encoder is trained on, so that what it makes of a new voice can be measured."""

NOTES = ("C", "C sharp", "D", "D sharp", "E", "F", "F sharp", "G", "G sharp", "A", "A sharp", "B")
NOISES = ("white noise", "pink noise", "brown noise", "blue noise")
CHIRPS = ("rising chirp", "falling chirp")


@dataclass(frozen=True)
class Spoken:
    """One sound to be made: what it says, whose voice, and how."""

    word: str
    voice: str
    pitch: int  # 0 to 99, 50 as the voice is
    speed: float  # times as fast as the voice is
    accent: str = "en-us"


def plan(words: tuple[str, ...] | list[str], each: int, seed: int, *, held_out: bool = False) -> list[Spoken]:
    """`each` ways to say every word: a voice, an accent, a pitch and a speed drawn for each."""
    rng = random.Random(f"{seed} {held_out}")
    mine = [voice for voice in (*ESPEAK_VOICES, *FLITE) if (voice in HELD_OUT) == held_out]
    flite = [voice for voice in mine if voice.startswith("flite")]
    espeak = [voice for voice in mine if not voice.startswith("flite")]
    ways = []
    for word in dict.fromkeys(words):
        for _ in range(each):
            voice = rng.choice(flite if rng.random() < 0.3 else espeak)
            pitch, speed = rng.randint(15, 85), rng.uniform(0.75, 1.4)
            ways.append(Spoken(word, voice, pitch, speed, rng.choice(ESPEAK_ACCENTS)))
    return ways


def say(spoken: Spoken) -> tuple[Wave, int]:
    """The sound and its rate. Raises SystemExit where the program is not installed."""
    program = "flite" if spoken.voice.startswith("flite") else "espeak-ng"
    if shutil.which(program) is None:
        raise SystemExit(f"{program} is not installed; on Debian: apt-get install espeak-ng flite")
    if program == "espeak-ng":
        voice = f"{spoken.accent}+{spoken.voice}"
        speed, pitch = str(round(165 * spoken.speed)), str(spoken.pitch)
        command = ["espeak-ng", "-v", voice, "-s", speed, "-p", pitch, "--stdout", spoken.word]
        return _read(subprocess.run(command, capture_output=True, check=True).stdout)
    with tempfile.NamedTemporaryFile(suffix=".wav") as made:
        stretch = f"duration_stretch={1 / spoken.speed:.2f}"
        command = ["flite", "-voice", spoken.voice[6:], "--setf", stretch, "-t", spoken.word, "-o", made.name]
        if spoken.voice.startswith("flite kal"):  # the others have their pitch in their recordings
            command[3:3] = ["--setf", f"int_f0_target_mean={70 + 1.3 * spoken.pitch:.0f}"]
        subprocess.run(command, capture_output=True, check=True)
        return _read(Path(made.name).read_bytes())


def _read(data: bytes) -> tuple[Wave, int]:
    import soundfile

    wave, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    loud = np.flatnonzero(np.abs(wave) > 0.005 * max(1e-6, float(np.abs(wave).max())))
    wave = wave[loud[0] : loud[-1] + 1] if len(loud) else wave
    return wave, int(rate)


def tones(each: int, seed: int, rate: int = 16_000) -> Iterator[tuple[str, Wave, int]]:
    """(label, sound, rate): notes by their names, whatever octave; noises by their colours; chirps."""
    rng = np.random.default_rng(seed)
    for label in (*NOTES, *NOISES, *CHIRPS):
        for _ in range(each):
            seconds = rng.uniform(0.3, 1.2)
            t = np.arange(int(seconds * rate)) / rate
            if label in NOTES:
                wave = _note(261.63 * 2 ** (NOTES.index(label) / 12 + rng.integers(-1, 2)), t, rng)
            elif label in NOISES:
                wave = _noise({"white": 0, "pink": -1, "brown": -2, "blue": 1}[label.split()[0]], len(t), rng)
            else:
                low, high = rng.uniform(150, 800), rng.uniform(1500, 6000)
                ends = (low, high) if label.startswith("rising") else (high, low)
                wave = np.sin(2 * np.pi * np.cumsum(np.geomspace(*ends, len(t))) / rate)
            wave = wave + 10 ** rng.uniform(-4, -1.5) * rng.standard_normal(len(t))
            yield label, (wave / np.abs(wave).max() * rng.uniform(0.05, 0.9)).astype(np.float32), rate


def _note(frequency: float, t: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """A tone with overtones of a random timbre, at most 12 cents out of tune, swelling and fading."""
    frequency *= 2 ** (rng.uniform(-12, 12) / 1200)
    fall = rng.uniform(0.2, 0.8)
    parts = [
        fall**k * rng.uniform(0.5, 1) * np.sin(2 * np.pi * (k + 1) * frequency * t + rng.uniform(0, 6))
        for k in range(rng.integers(1, 8))
        if (k + 1) * frequency < 7600
    ]
    envelope = np.minimum(1, t / rng.uniform(0.005, 0.08)) * np.exp(-t * rng.uniform(0, 4))
    return np.asarray(np.sum(parts, axis=0) * envelope)


def _noise(slope: int, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Noise whose power goes with frequency ** slope."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    frequency = np.maximum(np.arange(len(spectrum)), n * 40 / 16_000)  # level below 40 Hz
    wave = np.fft.irfft(spectrum * frequency ** (slope / 2), n)
    return np.asarray(wave / np.abs(wave).max())
