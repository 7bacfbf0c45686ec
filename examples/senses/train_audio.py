"""Train the embedded sound encoder to tell words, notes and noises apart, whoever speaks.

    python examples/senses/train_audio.py sounds --work WORK
    python examples/senses/train_audio.py train --work WORK --steps 1500 --out WORK/heard
    python examples/senses/train_audio.py train --work WORK --start WORK/heard --data DATA --out ENCODER

The first command has text-to-speech programs speak (`apt-get install espeak-ng flite`), some minutes on one
core. The second trains on them alone; the third goes on with recordings of spoken digits beside
(DATA/fsdd/train.parquet), of all speakers or without some (`--without theo`), so that speakers remain whom no
encoder has heard. Each stops after --minutes and goes on where it stopped when it is called again.
"""

from __future__ import annotations

import argparse
import io
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from mel_augment import Augment
from safetensors import safe_open
from safetensors.torch import save_file
from spoken_words import DIGITS, WORDS, plan, say, tones
from torch import Tensor, nn

from mmagent_audio.encoder import SoundEncoder
from mmagent_audio.melspec import RATE, log_mel
from mmagent_audio.network import NetworkConfig, SoundNetwork, levelled
from mmagent_audio.resample import resample

PARTS = 6  # of the made sounds, each a file
DIGIT_WAYS, WORD_WAYS, TONES = 50, 3, 12  # per part
FRAMES, BATCH = 128, 64
SHARES = {"recorded": 0.3, "digits": 0.25, "words": 0.37, "tones": 0.08}


def main() -> None:
    """One of the two commands."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("sounds", "train"))
    parser.add_argument("--work", type=Path, required=True, help="where the made sounds are kept")
    parser.add_argument("--minutes", type=float, default=60.0, help="stop after so long; call again to go on")
    parser.add_argument("--out", type=Path, help="the encoder's directory")
    parser.add_argument("--start", type=Path, help="an encoder to go on from")
    parser.add_argument("--data", type=Path, help="the folder of the data sets, for recorded digits")
    parser.add_argument("--without", nargs="*", default=[], help="speakers that are left out")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=3e-3, help="learning rate at its highest")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    if given.command == "sounds":
        make_sounds(given.work, given.minutes)
    elif given.out is None:
        parser.error("train needs --out")
    else:
        train(given)


def make_sounds(work: Path, minutes: float) -> None:
    """Speak every word in many voices, and keep it at 16 kHz in 16 bits."""
    work.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + 60 * minutes
    for part in range(PARTS):
        ways = {"digits": plan(DIGITS, DIGIT_WAYS, 100 + part), "words": plan(WORDS, WORD_WAYS, 200 + part)}
        for kind, spoken in ways.items():
            if not (work / f"{kind}-{part}.npz").exists() and time.monotonic() < until:
                made = ((one.word, *say(one)) for one in spoken)
                _keep(work / f"{kind}-{part}.npz", made)
        if not (work / f"tones-{part}.npz").exists():
            _keep(work / f"tones-{part}.npz", tones(TONES, 300 + part))


def _keep(place: Path, sounds: Iterator[tuple[str, np.ndarray, int]]) -> None:  # type: ignore[type-arg]
    labels, waves = [], []
    for label, wave, rate in sounds:
        if len(wave) > rate // 20:
            at_rate = resample(torch.from_numpy(wave.copy()), rate, RATE).clamp(-1, 1)
            labels.append(label)
            waves.append((at_rate * 32767).round().short().numpy())
    staged = place.with_suffix(".new.npz")
    np.savez(staged, samples=np.concatenate(waves), lengths=[len(w) for w in waves], labels=labels)
    staged.replace(place)
    print(f"{place}: {len(labels)} sounds", flush=True)


def spectra_of(place: Path) -> Iterator[tuple[str, Tensor]]:
    """(label, levelled spectrum) of the sounds that `sounds` made."""
    with np.load(place) as kept:
        samples = np.split(kept["samples"], np.cumsum(kept["lengths"])[:-1])
        for label, wave in zip(kept["labels"], samples, strict=True):
            yield str(label), levelled(log_mel(torch.from_numpy(wave.astype(np.float32)) / 32768))


def recorded(data: Path, without: Sequence[str]) -> Iterator[tuple[str, Tensor]]:
    """(label, levelled spectrum) of spoken digits, without some speakers."""
    import pyarrow.parquet as pq
    import soundfile

    for row in pq.read_table(data / "fsdd" / "train.parquet").to_pylist():
        if row["speaker"] not in without:
            wave, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="float32")
            yield row["label"], levelled(log_mel(resample(torch.from_numpy(wave), rate, RATE)))


class Pool:
    """Labelled spectra of several kinds, drawn by fixed shares."""

    def __init__(self, work: Path, data: Path | None, without: Sequence[str]) -> None:
        kinds: dict[str, list[tuple[str, Tensor]]] = {
            kind: [one for place in sorted(work.glob(f"{kind}-?.npz")) for one in spectra_of(place)]
            for kind in ("digits", "words", "tones")
        }
        kinds["recorded"] = list(recorded(data, without)) if data else []
        self.kinds = {kind: rows for kind, rows in kinds.items() if rows}
        self.labels = sorted({label for rows in self.kinds.values() for label, _ in rows})
        self.number = {label: i for i, label in enumerate(self.labels)}

    def draw(self, n: int, rng: np.random.Generator) -> tuple[list[Tensor], Tensor]:
        """n spectra and the numbers of their labels."""
        names = list(self.kinds)
        shares = np.array([SHARES[name] for name in names])
        found = [
            self.kinds[names[kind]][rng.integers(len(self.kinds[names[kind]]))]
            for kind in rng.choice(len(names), n, p=shares / shares.sum())
        ]
        return [x for _, x in found], torch.tensor([self.number[label] for label, _ in found])


class Learner(nn.Module):
    """The network with a linear classifier on its segments, which is thrown away afterwards."""

    def __init__(self, network: SoundNetwork, n_labels: int) -> None:
        super().__init__()
        self.network = network
        width = network.config.n_segments * network.config.d_segment
        self.head = nn.Sequential(nn.BatchNorm1d(width), nn.Dropout(0.3), nn.Linear(width, n_labels))

    def forward(self, mel: Tensor) -> Tensor:
        """(B, N_MELS, T) to logits (B, n_labels)."""
        logits: Tensor = self.head(self.network(mel).flatten(1))
        return logits


class Training:
    """A learner and its optimiser, kept in one file of tensors while it runs."""

    def __init__(self, learner: Learner, given: argparse.Namespace) -> None:
        self.learner, self.given, self.done = learner, given, 0
        self.optimiser = torch.optim.AdamW(learner.parameters(), weight_decay=0.02)
        self.place = given.out / "training.safetensors"

    def step(self, mel: Tensor, wanted: Tensor) -> tuple[float, float]:
        """One step of AdamW; the loss and the share that was right."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.given.rate * pace(self.done / self.given.steps)
        logits = self.learner(mel)
        loss = F.cross_entropy(logits, wanted, label_smoothing=0.05)
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.learner.parameters(), 2.0)
        self.optimiser.step()
        self.done += 1
        return loss.item(), (logits.argmax(1) == wanted).float().mean().item()

    def keep(self) -> None:
        """Write the state aside, then in its place."""
        tensors = {f"learner.{name}": tensor for name, tensor in self.learner.state_dict().items()}
        for number, moments in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": tensor for name, tensor in moments.items()}
        self.place.parent.mkdir(parents=True, exist_ok=True)
        staged = self.place.with_suffix(".new")
        save_file(tensors, staged, metadata={"done": str(self.done)})
        staged.replace(self.place)

    def go_on(self) -> None:
        """Take up the state that is there."""
        if not self.place.exists():
            return
        with safe_open(self.place, "pt") as kept:
            self.done = int(kept.metadata()["done"])
            tensors = {name: kept.get_tensor(name) for name in kept.keys()}  # noqa: SIM118
        own = {name[8:]: tensor for name, tensor in tensors.items() if name.startswith("learner.")}
        self.learner.load_state_dict(own)
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimiser."):
                _, number, moment = name.split(".")
                state.setdefault(int(number), {})[moment] = tensor
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})


def pace(share: float) -> float:
    """The learning rate over a training: up for a seventh, then down along a cosine."""
    rise = 0.15
    if share < rise:
        return share / rise + 0.02
    return 0.5 + 0.5 * math.cos(math.pi * (share - rise) / (1 - rise))


def train(given: argparse.Namespace) -> None:
    """Cross-entropy on augmented sounds; steps are told every 50, and kept."""
    until = time.monotonic() + 60 * given.minutes
    pool = Pool(given.work, given.data, given.without)
    network = SoundNetwork(NetworkConfig())
    if given.start:
        network = SoundEncoder.load(given.start, device=torch.device("cpu"), dtype=torch.float32).network
    learner = Learner(network.requires_grad_(True), len(pool.labels)).train()
    counts = ", ".join(f"{len(rows)} {kind}" for kind, rows in pool.kinds.items())
    print(f"{counts}; {len(pool.labels)} labels", flush=True)
    training = Training(learner, given)
    training.go_on()
    told: list[tuple[float, float]] = []
    while training.done < given.steps and time.monotonic() < until:
        rng = torch.Generator().manual_seed(given.seed * 1_000_003 + training.done)
        spectra, wanted = pool.draw(BATCH, np.random.default_rng([given.seed, training.done]))
        told.append(training.step(Augment(FRAMES, rng)(spectra), wanted))
        if training.done % 50 == 0:
            loss, right = np.mean(told, axis=0)
            print(f"step {training.done}: loss {loss:.3f}, right {right:.3f}", flush=True)
            told.clear()
            training.keep()
    if training.done < given.steps:
        training.keep()
        raise SystemExit("stopped; call again to go on")
    SoundEncoder(network.eval()).save(given.out)
    training.place.unlink(missing_ok=True)
    print(f"{given.out} is trained", flush=True)


if __name__ == "__main__":
    main()
