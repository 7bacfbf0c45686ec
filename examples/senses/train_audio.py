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
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from mel_augment import Augment
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


def train(given: argparse.Namespace) -> None:
    """AdamW, one cycle of the learning rate, cross-entropy; the state beside the encoder until it is done."""
    pool = Pool(given.work, given.data, given.without)
    network = (
        SoundEncoder.load(given.start, device=torch.device("cpu"), dtype=torch.float32).network
        if given.start
        else SoundNetwork(NetworkConfig())
    )
    learner = Learner(network.requires_grad_(True), len(pool.labels)).train()
    print(
        f"{ {kind: len(rows) for kind, rows in pool.kinds.items()} }, {len(pool.labels)} labels, "
        f"{sum(p.numel() for p in network.parameters()):,} parameters",
        flush=True,
    )
    optimiser = torch.optim.AdamW(learner.parameters(), lr=given.rate, weight_decay=0.02)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, given.rate, given.steps, pct_start=0.15)
    state, done = given.out / "state.pt", 0
    if state.exists():
        kept = torch.load(state, weights_only=True)
        learner.load_state_dict(kept["learner"])
        optimiser.load_state_dict(kept["optimiser"])
        cycle.load_state_dict(kept["cycle"])
        done = kept["done"]
    until, begun = time.monotonic() + 60 * given.minutes, time.monotonic()
    loss_sum = right = seen = 0.0
    while done < given.steps and time.monotonic() < until:
        rng = torch.Generator().manual_seed(given.seed * 1_000_003 + done)
        spectra, wanted = pool.draw(BATCH, np.random.default_rng([given.seed, done]))
        logits = learner(Augment(FRAMES, rng)(spectra))
        loss = F.cross_entropy(logits, wanted, label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(learner.parameters(), 2.0)
        optimiser.step()
        cycle.step()
        done += 1
        loss_sum, right, seen = (
            loss_sum + loss.item(),
            right + (logits.argmax(1) == wanted).sum().item(),
            seen + 1,
        )
        if done % 50 == 0:
            print(
                f"step {done}: loss {loss_sum / seen:.3f}, right {right / seen / BATCH:.3f}, "
                f"{time.monotonic() - begun:.0f} s",
                flush=True,
            )
            loss_sum = right = seen = 0.0
    SoundEncoder(network).save(given.out)
    if done < given.steps:
        torch.save(
            {
                "learner": learner.state_dict(),
                "optimiser": optimiser.state_dict(),
                "cycle": cycle.state_dict(),
                "done": done,
            },
            state,
        )
        raise SystemExit(3)
    state.unlink(missing_ok=True)
    print(f"{given.out} is trained", flush=True)


if __name__ == "__main__":
    main()
