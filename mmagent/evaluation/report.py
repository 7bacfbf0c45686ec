"""Whether an adapter is worth having, in sentences: against its baselines, its controls, and chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmagent.errors import UserError
from mmagent.evaluation.intervals import RESAMPLES, Difference, paired, share
from mmagent.evaluation.results import Result

__all__ = ["FEW", "against_memory", "verdict"]

FEW = 100
"""Below so many rows the report says what it cannot tell apart."""
TELLING = 6  # rows that must all speak for one side before the randomisation test hears them (2 / 2^6)
NEAR = 0.05  # an interval that ends below this leaves no difference worth a word


def verdict(
    adapter: Result,
    baselines: Sequence[Result] = (),
    controls: Mapping[str, Result] | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[str]:
    """What the numbers say, one sentence a line; the first is the answer.

    baselines  results of simpler systems on the same rows;  controls  by name: blind, shuffled, oracle

    The adapter beats a rival only where the 95 % paired bootstrap interval of the difference lies above zero
    and the paired randomisation test agrees (p < 0.05). "Points" are percentage points. Raises UserError
    when the rows are not the same.
    """
    runs = dict(controls or {})
    for other in [*baselines, *runs.values()]:
        if [row.wanted for row in other.rows] != [row.wanted for row in adapter.rows]:
            raise UserError(
                f"{other.name} was not evaluated on the same rows as {adapter.name}: it has "
                f"{len(other.rows)}, {adapter.name} {len(adapter.rows)}, and all must want the same answers "
                "in the same order."
            )

    def against(other: Result) -> Difference:
        return paired(adapter.accuracy(), other.accuracy(), resamples=resamples, seed=seed)

    faced = [_Rival(one.name, one, against(one)) for one in baselines]
    if "blind" in runs:
        faced.append(_Rival("its blind control", runs["blind"], against(runs["blind"])))
    lines = [_first(adapter, faced, bool(baselines), "blind" in runs, resamples, seed)]
    lines += [rival.line() for rival in faced]
    if faced and "blind" not in runs:
        lines.append("No blind control was run, so it is not known whether the input matters at all.")
    lines += _said_of_controls(runs, {name: against(one) for name, one in runs.items()})
    if len(adapter.rows) < FEW and faced:
        lines.append(_few(len(adapter.rows), faced))
    return lines


def against_memory(adapter: Result, turned: Result, *, resamples: int = RESAMPLES, seed: int = 0) -> str:
    """One sentence on what the bundle's own shot memory is worth, from both ways of asking the same rows."""
    ahead = paired(adapter.accuracy(), turned.accuracy(), resamples=resamples, seed=seed)
    way = turned.name.partition(", memory ")[2].split(" ")[0] or "off"
    return _Rival(f"itself with its shot memory {way}", turned, ahead).line()


class _Rival:
    """A system the adapter is held against, and by how much it is ahead."""

    def __init__(self, name: str, result: Result, difference: Difference) -> None:
        self.name, self.difference = name, difference
        self.score = result.accuracy().value()
        self.same = difference.low == difference.high == 0.0  # right and wrong on the same rows

    def short(self) -> str:
        """`+6.2 points (3.1 to 9.4) over X (77.8 %)`."""
        return f"{_points(self.difference)} over {self.name} ({_percent(self.score)})"

    def line(self) -> str:
        """One sentence about this rival."""
        said = {
            "better": "more than chance",
            "worse": "worse, more than chance",
            "tied": "which may be chance",
        }
        p = self.difference.p
        sure = "" if p is None else f", p {'< 0.001' if p < 0.001 else f'= {p:.3f}'}"
        of = f"Against {self.name} ({_percent(self.score)}): "
        if self.same:
            return f"{of}no difference in any row."
        of += _points(self.difference)
        return f"{of}, {said[self.difference.verdict]}{sure}."


def _first(
    adapter: Result, faced: Sequence[_Rival], has_baselines: bool, has_blind: bool, resamples: int, seed: int
) -> str:
    """The answer in one sentence."""
    own = share([row.correct for row in adapter.rows], resamples=resamples, seed=seed)
    score = f"{_percent(own.value)} {adapter.judge} ({100 * own.low:.1f} to {100 * own.high:.1f})"
    basis = f"; 95 % paired intervals, {_rows(len(adapter.rows))}."
    name = adapter.name[:1].upper() + adapter.name[1:]
    if not faced:
        return (
            f"{name} reaches {score} on {_rows(own.n)}, but no baseline and no blind control was run beside "
            "it, so the number proves nothing yet."
        )
    worse = [rival for rival in faced if rival.difference.verdict == "worse"]
    tied = [rival for rival in faced if rival.difference.verdict == "tied"]
    if worse or tied:
        lost = worse or tied
        hardest = min(lost, key=lambda rival: rival.difference.value)
        named = _listed([rival.name for rival in lost])
        against = f"{score} against {_percent(hardest.score)} of {hardest.name}"
        if worse:
            return f"{name} loses to {named}: {against}, {_points(hardest.difference)}{basis}"
        gap = f"a difference of {_points(hardest.difference)} that may be chance"
        return (
            f"{name} does not beat {named}: {against}, "
            f"{'no difference in any row' if hardest.same else gap}{basis}"
        )
    baselines = [rival for rival in faced if rival.name != "its blind control"]
    best = min(baselines, key=lambda rival: rival.difference.value, default=None)
    shown = [
        rival.short() for rival in [*([best] if best else []), *[r for r in faced if r not in baselines]]
    ]
    if has_baselines and has_blind:
        claim = "beats every baseline and its blind control"
    elif has_baselines:
        claim = "beats every baseline, but no blind control was run"
    else:
        claim = "beats its blind control; no baseline was run, so simpler ways may do as well"
    return f"{name} {claim}: {score}, {_listed(shown)}{basis}"


def _few(n: int, faced: Sequence[_Rival]) -> str:
    """What so few rows cannot tell: half of the widest interval, and what no test of that many rows could."""
    half = max((rival.difference.high - rival.difference.low) / 2 for rival in faced)
    least = max(half, TELLING / n)
    are = "is" if n == 1 else "are"
    if least > 1.0:
        return f"{_rows(n)} {are} few: no difference can be told from chance here."
    return (
        f"{_rows(n)} {are} few: differences of less than about {100 * least:.0f} points cannot be told from "
        "chance here."
    )


def _said_of_controls(runs: Mapping[str, Result], differences: Mapping[str, Difference]) -> list[str]:
    lines = []
    if "blind" in runs and differences["blind"].verdict != "better":
        ahead = differences["blind"]
        lines.append(
            f"{_rows(ahead.n)} are too few to tell whether what it says comes from what it senses: "
            f"{_points(ahead)} over its blind control."
            if _open(ahead)
            else "Without its media it answers as well: what it says does not come from what it senses."
        )
    if "shuffled" in runs:
        ahead = differences["shuffled"]
        found = f"With another row's media (shuffled) {_percent(runs['shuffled'].accuracy().value())}, "
        if ahead.verdict == "better":
            said = "it matters which input it gets."
        elif ahead.verdict == "worse":
            said = "another row's serves it better than its own."
        elif _open(ahead):
            said = f"{_rows(ahead.n)} are too few to tell whether it matters which input it gets."
        else:
            said = "it hardly matters which input it gets."
        more = " more" if ahead.value >= 0.0 else ""
        lines.append(f"{found}with its own {_points(ahead)}{more}: {said}")
    if "oracle" in runs:
        lines.append(_said_of_oracle(runs["oracle"], differences["oracle"]))
    return lines


def _said_of_oracle(oracle: Result, gap: Difference) -> str:
    """What is lost between the input and the core, where the core could answer at all."""
    told = oracle.accuracy().value()
    words = f"Told in words (oracle) {_percent(told)}"
    found = f"{words}: "
    value, low, high = (0.0 - 100 * x for x in (gap.value, gap.high, gap.low))
    lost = f"{value:.1f} points ({low:.1f} to {high:.1f})"
    if gap.verdict == "worse":
        return found + f"{lost} of what the core could answer are lost on the way in."
    if gap.verdict == "better":
        return found + "less than through the sense, so the core does not read the words as meant."
    if told < 0.5:
        fails = "cannot answer this" if told == 0.0 else "mostly fails at this"
        return found + f"the core {fails} even when told in words, so what the sense loses is not known."
    if gap.value < 0.0 and gap.low < -NEAR:
        return f"{words}, {lost} more: {_rows(gap.n)} are too few to tell whether the sense loses anything."
    return found + "the sense loses nothing that could be told from chance."


def _open(ahead: Difference) -> bool:
    """Whether a difference that may be chance may as well be one worth having: the rows are too few."""
    return ahead.verdict == "tied" and ahead.value > 0.0 and ahead.high > NEAR


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _points(difference: Difference) -> str:
    value, low, high = (100 * x + 0.0 for x in (difference.value, difference.low, difference.high))
    return f"{value:+.1f} points ({low:.1f} to {high:.1f})"


def _rows(n: int) -> str:
    return f"{n} row{'' if n == 1 else 's'}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
