"""Asking: an adapter on these features learns, travels in a bundle, and can do without an input."""

from __future__ import annotations

from typing import Any, cast

import torch

from mmagent.agent import Agent
from mmagent.bundle import Bundle
from mmagent.conformance.check import Failed, Skipped, demand
from mmagent.conformance.encoding import TOLERANCE, difference
from mmagent.conformance.subject import Subject
from mmagent.core import Soft
from mmagent.errors import UserError

__all__ = ["gradient", "missing", "round_trip"]

N_TOKENS = 2
QUESTION = "What is this?"


def gradient(subject: Subject) -> str:
    """The loss of a frozen core reaches every weight of a small prefix on the features, and nothing else."""
    core, features = subject.core, subject.features
    torch.manual_seed(0)
    adapter = torch.nn.Linear(subject.encoder.d_encoder, N_TOKENS * core.d_core)
    scale = features.pooled.abs().max().clamp(min=1)
    soft = (adapter(features.pooled) / scale).view(-1, N_TOKENS, core.d_core)
    prompts = [[f"{subject.modality.name}: ", Soft.of(row), " Answer:"] for row in soft]
    core.loss(prompts, ["yes\n"] * len(prompts)).backward()
    grad = adapter.weight.grad
    if grad is None:
        raise Failed("no gradient reaches the adapter: are the features made in inference mode?")
    reached = float((grad.abs().sum(0) > 0).float().mean())
    demand(bool(grad.isfinite().all()) and reached > 0, "the adapter's gradient is zero or not finite.")
    core.assert_frozen()
    trained = [name for name, weight in core.model.named_parameters() if weight.grad is not None]
    demand(not trained, f"a gradient reaches the core ({trained[:1]}), which is frozen.")
    return f"{100 * reached:.0f} % of {subject.encoder.d_encoder} features carry it"


def round_trip(subject: Subject) -> str:
    """A bundle with this sense is written, opened and asked, and gives the very features of before."""
    agent = _agent(subject)
    name, samples = subject.modality.name, list(subject.samples)
    found = agent.features(name, samples).pooled
    rows = len(samples)
    apart = difference(found, subject.features.pooled[:rows])
    demand(apart <= TOLERANCE, f"features of a bundle's sense differ from its encoder's by {apart:.1e}.")
    answers = [_asked(agent, name, sample) for sample in samples[:2]]
    again = _asked(_agent(subject, again=True), name, samples[0])
    demand(again == answers[0], "a bundle that is opened again answers something else.")
    return f"{agent.bundle.size:,} bytes, with a random core; {N_TOKENS} soft tokens for an input"


def missing(subject: Subject) -> str:
    """Asked without the input a bundle answers; a file that is not there is one line."""
    agent, name = _agent(subject), subject.modality.name
    agent.ask(QUESTION, max_tokens=2)
    try:
        _asked(agent, name, subject.folder / "not there")
    except UserError:
        return "answered in words alone; a file that is not there is refused"
    raise Failed("a file that is not there is answered as if it were.")


def _asked(agent: Agent, name: str, source: object) -> str:
    """What is answered about one input of the modality `name`."""
    media: dict[str, Any] = {name: source}
    return agent.ask(QUESTION, max_tokens=4, **media).text


def _agent(subject: Subject, *, again: bool = False) -> Agent:
    """An agent on a bundle with this sense and a random core."""
    target = subject.folder / "bundle"
    if not target.exists():
        _write(subject)
    if again or "agent" not in subject.kept:
        subject.kept["agent"] = Agent.load(target, device="cpu", dtype="float32", plugins=subject.plugins)
    return cast("Agent", subject.kept["agent"])


def _write(subject: Subject) -> None:
    name, plugins, core = subject.modality.name, subject.plugins, subject.core
    family = plugins.adapters.get("prefix")
    if family is None:
        raise Skipped("no plugin brings the adapter family `prefix`.")
    config = {"n_tokens": N_TOKENS}
    torch.manual_seed(0)
    adapter = plugins.resolve(family.build)(config, subject.encoder.d_encoder, core.d_core)
    weights = f"{name}/adapter.safetensors"
    sense = {
        "encoder": subject.location,
        "adapter": {"family": "prefix", "config": config, "weights": weights},
    }
    manifest = {"name": "checked", "core": {"path": "core"}, "senses": {name: sense}}
    parts: dict[str, Any] = {"core": subject.folder / "core", weights: adapter.state_dict()}
    Bundle.write(
        subject.folder / "bundle", manifest, parts, card="# checked\n\nRandom weights, for a check.\n"
    )
