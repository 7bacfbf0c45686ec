"""``mmagent train --adapter memory``, alone or joined to others by a +: what is done, and what is said."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmagent.adapter import AdapterFamily
from mmagent.errors import UserError
from mmagent.training.settings import TrainSettings
from mmagent_cli import progress
from mmagent_cli.typed import typed

if TYPE_CHECKING:
    from mmagent.agent import Agent
    from mmagent.bundle import Bundle
    from mmagent.data import LabelledSet
    from mmagent.training.remember import Gathered, Remembered

__all__ = ["alone", "aside", "demand_memory", "done_before", "joined"]

Bar = AbstractContextManager[Callable[[int, int, float, float | None], None]]


def demand_memory(settings: TrainSettings, rest: str, memory: AdapterFamily | None) -> None:
    """Refuse settings of a memory where there is none, and of an adapter where a memory is all there is.

    rest: the families that train, if any do. Raises `UserError`.
    """
    if settings.contrast and not rest:
        raise UserError(
            f"--contrast is part of the loss of an adapter, and {settings.adapter!r} trains none. Give "
            f"--adapter prefix+{settings.adapter}, or leave --contrast away."
        )
    if settings.tune_keys and memory is None:
        raise UserError(
            f"--tune-keys fine-tunes the keys of a memory, and {settings.adapter!r} keeps none. Give "
            f"--adapter memory or --adapter {settings.adapter}+memory, or leave --tune-keys away."
        )


def alone(
    data: LabelledSet,
    agent: Agent,
    settings: TrainSettings,
    family: AdapterFamily,
    out: Path,
    *,
    encoder: str | None,
    bar: Bar,
) -> tuple[Remembered, Gathered]:
    """Remember the data in the bundle that was started from, and say what came of it."""
    from mmagent.training.remember import gather, remember

    with progress.bar("encoding") as advance:
        gathered = gather(data, agent, settings, encoder=encoder, progress=advance)
    _say_what_is_kept(gathered, settings)
    with progress.stages() as stage, bar as on_step:
        command = typed(agent.core)
        found = remember(gathered, family, settings, out, command=command, on_step=on_step, progress=stage)
    _say_what_came(found)
    return found, gathered


def joined(
    data: LabelledSet,
    agent: Agent,
    settings: TrainSettings,
    family: AdapterFamily,
    out: Path,
    *,
    bar: Bar,
) -> tuple[Remembered, Gathered]:
    """Remember the data in the bundle that has just been trained on them; what was set aside goes."""
    from mmagent.evaluation.part import trained_on
    from mmagent.training.remember import gather, remember

    told = trained_on(agent.bundle)
    split = None if told is None else {"train": sorted(told.learned), "validation": sorted(told.judged)}
    with progress.bar("encoding") as advance:
        gathered = gather(data, agent, settings, split=split, progress=advance)
    _say_what_is_kept(gathered, settings)
    with progress.stages() as stage, bar as on_step:
        command = typed(agent.core)
        found = remember(
            gathered, family, settings, out, joined=True, command=command, on_step=on_step, progress=stage
        )
    _say_what_came(found)
    shutil.rmtree(aside(out).parent, ignore_errors=True)
    return found, gathered


def aside(out: Path) -> Path:
    """Where the bundle of a joined run waits for its memory; it is never seen without."""
    return out.with_name(f".{out.name}.parts") / out.name


def done_before(out: Path, settings: TrainSettings, *, resume: bool) -> Bundle | None:
    """The bundle of a joined run that was stopped after its training; without `resume` it is taken away.

    Raises `UserError` where it was trained with other settings.
    """
    import json

    from mmagent.bundle import Bundle
    from mmagent.manifest import MANIFEST

    place = aside(out)
    if not resume:
        shutil.rmtree(place.parent, ignore_errors=True)
        return None
    if not (place / MANIFEST).is_file():
        return None
    raw: dict[str, Any] = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
    before, now = raw.get("trained", {}).get("settings", {}), settings.as_json()
    differ = [
        name for name in now if before.get(name) != now[name] and name not in ("tune_keys", "key_epochs")
    ]
    if differ:
        told = ", ".join(f"{name} {before.get(name)} there, {now[name]} here" for name in differ)
        raise UserError(
            f"the run in {place.parent} was started otherwise: {told}. Give the same settings, or leave "
            "--resume away to start anew."
        )
    return Bundle.open(place)


def _say_what_is_kept(gathered: Gathered, settings: TrainSettings) -> None:
    material, core = gathered.material, gathered.agent.core
    trains = "the keys alone train" if settings.tune_keys else "nothing trains"
    print(
        f"remembers {len(material.train):,} examples of {gathered.sense}, "
        f"{len({one.answer for one in material.train}):,} answers; {trains}. Frozen: the core "
        f"({core.fingerprint()[:12]}) and the encoder. {len(material.validation):,} examples to judge by."
    )


def _say_what_came(found: Remembered) -> None:
    loudness, keys = found.loudness, found.keys
    if found.tuned is not None:
        first, best = found.tuned.history[0], found.tuned.history[found.tuned.best]
        print(
            f"tuned keys: the votes alone are right on {100 * first[1]:.1f} % before and "
            f"{100 * best[1]:.1f} % after (epoch {found.tuned.best} of {len(found.tuned.history) - 1} "
            "was kept)."
        )
    settings = loudness.settings
    print(
        f"keys: {keys.space}; beta {settings.beta:.3g}, power {settings.power:.3g}, slope "
        f"{settings.slope:.3g}, threshold {settings.threshold:.3g}, of {found.tried + loudness.tried} "
        f"settings by the validation rows, in {found.seconds:.1f} s. {100 * loudness.score:.1f} % of "
        f"{loudness.rows:,} come out right with the memory, {100 * loudness.alone:.1f} % without."
    )
