"""Which families a run trains: one of the sense, one inside of the core, or both, joined by a +.

`prefix` trains what stands before the core, `lora` lets the core bend and keeps the sense's adapter as the
bundle has it, `prefix+lora` trains both. Any registered families combine so, one of each kind.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mmagent.adapter import AdapterFamily
from mmagent.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from torch import nn

    from mmagent.agent import Agent
    from mmagent.training.settings import TrainSettings

__all__ = ["Chosen", "agrees", "choose", "start_in_core", "told"]


@dataclass(frozen=True)
class Chosen:
    """The families of a run, and the settings that were asked for.

    sense    the family of the sense's adapter; None: the bundle's own stays, frozen
    core     the family of what is built into the core, or None
    options  settings by family
    """

    sense: AdapterFamily | None
    core: AdapterFamily | None
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def of(self, family: AdapterFamily) -> dict[str, Any]:
        """The settings asked for of one family."""
        return dict(self.options.get(family.name, {}))


def choose(settings: TrainSettings, families: Mapping[str, AdapterFamily]) -> Chosen:
    """The families that `settings.adapter` names. Raises `UserError` with what there is."""
    found: dict[bool, AdapterFamily] = {}
    for name in settings.adapter.split("+"):
        if name not in families:
            raise UserError(
                f"no adapter family called {name!r}. There are: {', '.join(families)}, and two of them "
                f"joined by a +.{did_you_mean(name, families)}"
            )
        family = families[name]
        if family.remembers:
            raise UserError(f"{name!r} trains nothing: it joins what is trained when that is done.")
        if family.of_words:
            raise UserError(
                f"{name!r} learns from texts and not from labelled data. There are: "
                f"{', '.join(one.name for one in families.values() if not (one.of_words or one.remembers))}."
            )
        if family.into_core in found:
            where = "go into the core" if family.into_core else "stand before the core"
            raise UserError(
                f"{settings.adapter!r} cannot be combined: {found[family.into_core].name} and {name} both "
                f"{where}. Join one that stands before the core and one that goes into it: prefix+lora."
            )
        found[family.into_core] = family
    chosen = Chosen(found.get(False), found.get(True))
    return Chosen(chosen.sense, chosen.core, _options(settings, [*found.values()]))


def start_in_core(agent: Agent, chosen: Chosen, settings: TrainSettings) -> tuple[nn.Module, str]:
    """What is built into the core as the run begins, and what it began as.

    The bundle's own is taken up where it is of the family and the settings asked for. Otherwise a fresh one
    is built, from the seed; but never in the place of one that the bundle keeps, unless `settings.keep` is
    off. Raises `UserError`.
    """
    import torch

    from mmagent.core_adapter import build_into

    family, own, core = chosen.core, agent.bundle.core_adapter, agent.core
    assert family is not None
    options = chosen.of(family)
    if own is not None and settings.keep:
        if own.family == family.name and agrees(own.config, options):
            assert core.adapter is not None
            return core.adapter, f"the bundle's own {family.name}"
        raise UserError(
            f"the core of bundle {agent.bundle.name!r} has an adapter already ({own.family}, "
            f"{told(own.config)}). Train that on, merge it first (mmagent bundles merge {agent.bundle.path} "
            "--out NEW), or drop it with --no-keep."
        )
    core.straighten()
    torch.manual_seed(settings.seed)
    return build_into(core, family, options, agent.plugins), f"a fresh {family.name}"


def _options(settings: TrainSettings, families: list[AdapterFamily]) -> dict[str, dict[str, Any]]:
    """`settings.adapter_options` as settings by family."""
    names = [family.name for family in families]
    found: dict[str, dict[str, Any]] = {}
    for word in settings.adapter_options.split():
        match = re.fullmatch(r"(?:([\w-]+)\.)?(\w+)=(\S+)", word)
        if match is None:
            raise UserError(
                f"cannot read {word!r} in adapter_options. Write settings like r=16 dropout=0.1 "
                "targets=q_proj,v_proj."
            )
        family, name, value = match.groups()
        if family is None and len(names) > 1:
            raise UserError(
                f"adapter_options: whose setting is {name!r}? Write "
                f"{' or '.join(f'{one}.{word}' for one in names)}."
            )
        if family is not None and family not in names:
            raise UserError(
                f"adapter_options: {word!r} is for the family {family!r}, and {settings.adapter!r} trains "
                f"{' and '.join(names)}."
            )
        found.setdefault(family or names[0], {})[name] = _value(value)
    return found


def _value(text: str) -> Any:
    """A number where it is one, a list where there are commas, else the text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return [part for part in text.split(",") if part] if "," in text else text


def agrees(config: Mapping[str, Any], options: Mapping[str, Any]) -> bool:
    """Whether an adapter of this config is what the options ask for; one name may stand for a list."""
    return all(config.get(name) in (value, [value]) for name, value in options.items())


def told(config: Mapping[str, Any]) -> str:
    """A config as words."""
    return " ".join(
        f"{name}={','.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in config.items()
    )
