"""What a run comes to, step by step, for a tracker that Accelerate knows: tensorboard, wandb and others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmagent.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["demand_tracker", "tracked"]

OnStep = Callable[[int, int, float, float | None], None]


def demand_tracker(name: str) -> None:
    """Raise `UserError` for a tracker that Accelerate does not know or that is not installed."""
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
    from accelerate.utils import LoggerType

    if name not in LOGGER_TYPE_TO_CLASS:
        known = sorted(LOGGER_TYPE_TO_CLASS)
        raise UserError(
            f"no tracker called {name!r}. There are: {', '.join(known)}.{did_you_mean(name, known)}"
        )
    bundled = {str(one) for one in LoggerType}
    installed = {str(one) for one in get_available_trackers()}
    if name in bundled and name not in installed:
        there = ", ".join(sorted(installed)) or "none"
        package = name.replace("_", "-")
        raise UserError(f"{name} is not installed: pip install {package}. Trackers installed here: {there}.")


@contextmanager
def tracked(
    name: str | None, folder: Path, settings: Mapping[str, Any], accelerator: Accelerator
) -> Iterator[OnStep]:
    """A function to call after every step, which hands on to the tracker; for None, to nobody.

    Of several processes the first alone speaks to it. folder: where a tracker that writes files does so.
    Raises `UserError` as `demand_tracker` does.
    """
    if name is None or not accelerator.is_main_process:
        yield lambda step, steps, loss, score: None
        return
    demand_tracker(name)
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    kind: Any = LOGGER_TYPE_TO_CLASS[name]
    places = (str(folder.parent),) if kind.requires_logging_directory else ()
    tracker = kind(folder.name, *places)
    if hasattr(tracker, "start"):  # older ones of Accelerate start when they are made
        tracker.start()
    tracker.store_init_configuration(dict(settings))

    def log(step: int, steps: int, loss: float, score: float | None) -> None:
        values = {"train/loss": loss} | ({} if score is None else {"validation/score": score})
        tracker.log(values, step=step)

    try:
        yield log
    finally:
        tracker.finish()
