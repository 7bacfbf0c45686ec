"""What no modality must have, checked where it has it; and what an input costs, told and not judged."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from mmagent.conformance.check import Failed, Skipped, demand
from mmagent.conformance.subject import Subject
from mmagent.profile import ASPECTS, Profile

__all__ = ["augmentation", "cost", "profile", "words"]


def augmentation(subject: Subject) -> str:
    """vary gives values that can be encoded, the same for the same seed and others for others."""
    reader = subject.reader
    vary = getattr(reader, "vary", None)
    if vary is None:
        raise Skipped("the reader has no `vary`, so --augment changes nothing for it.")
    for raw in chain(subject.raws, _own(subject)):  # one that is too long may be left as it is
        before = reader.fingerprint(raw)
        prints = [reader.fingerprint(vary(raw, seed)) for seed in (1, 1, 2, 3)]
        demand(prints[0] == prints[1], "`vary` with the same seed gives another value.")
        demand(reader.fingerprint(raw) == before, "`vary` changes the value it was given.")
        demand(
            subject.encoder.encode([vary(raw, 1)]).pooled.isfinite().all(),
            "what `vary` gives has features that are NaN.",
        )
        if len(set(prints)) > 1:
            return f"{len(set(prints))} values of 3 seeds"
    raise Failed("`vary` gives the same value for every seed, whatever the sample is.")


def _own(subject: Subject) -> Iterator[Any]:
    """The samples that the reader makes itself, loaded when they are needed."""
    made = getattr(subject.reader, "samples", None)
    for source in made() if callable(made) else ():
        yield subject.reader.load(source)


def profile(subject: Subject) -> str:
    """profile says in one line what an input is, and something of every aspect."""
    make = getattr(subject.reader, "profile", None)
    if make is None:
        raise Skipped("the reader has no `profile`, so mmagent inspect shows what `describe` says.")
    found = [_whole(make(raw)) for raw in subject.raws][-1]
    if found.draw is None:
        return found.summary
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return f"{found.summary}; not drawn, for want of matplotlib"
    figure = Figure()
    found.draw(figure)
    demand(figure.axes, "`draw` of the profile draws no axes.")
    return f"{found.summary}; drawn"


def _whole(made: object) -> Profile:
    """A profile that lacks nothing."""
    if not isinstance(made, Profile):
        raise Failed(f"`profile` gives a {type(made).__name__}, not a mmagent.profile.Profile.")
    demand(made.summary.strip() and "\n" not in made.summary, "the summary of a profile must be one line.")
    lost = [heading for key, heading in ASPECTS.items() if not made.aspects.get(key)]
    demand(not lost, f"the profile tells nothing about {lost[0] if lost else ''}.")
    return made


def words(subject: Subject) -> str:
    """tell says the same of a value in a batch and alone; answer gives that with its probability."""
    encoder = subject.encoder
    if not hasattr(encoder, "tell"):
        raise Skipped("the encoder has no `tell`, so nothing is said in words.")
    said = list(encoder.tell(subject.raws))
    alone = [text for raw in subject.raws for text in encoder.tell([raw])]
    demand(all(isinstance(text, str) for text in said), "`tell` gives something that is no text.")
    demand(said == alone, f"`tell` says {said!r:.200} of a batch, and {alone!r:.200} of each value alone.")
    if hasattr(encoder, "answer"):
        answers = list(encoder.answer(subject.raws))
        demand([text for text, _ in answers] == said, "`answer` gives other words than `tell`.")
        demand(all(0 <= sure <= 1 for _, sure in answers), "`answer` is surer than 1, or less sure than 0.")
    return f"{said[0]!r:.80}"


def cost(subject: Subject) -> str:
    """Time for an input, alone and in a batch, and memory over the loaded encoder, in its own process."""
    found = subject.probe
    return (
        f"read {1e3 * found['read']:.1f} ms, encoded {1e3 * found['single']:.1f} ms alone and "
        f"{1e3 * found['batched']:.1f} ms in a batch of {found['batch']}; "
        f"{found['memory'] / 2**20:.0f} MiB more at its peak"
    )
