"""How the answers of shots go on from what has been generated of one: the tokens, and whose they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    Floats = NDArray[np.float64]
    Places = NDArray[np.intp]

__all__ = ["AnswerCodec", "Continuation", "continuations"]


class AnswerCodec(Protocol):
    """What the memory needs of a core: an answer's tokens, and the tokens that may end one."""

    def encode(self, answer: str) -> Sequence[int]:
        """Token ids of an answer as it continues the prompt."""

    @property
    def end_ids(self) -> Sequence[int]:
        """Ids that end an answer: end of text, and the first token of each stop text."""


@dataclass(frozen=True, eq=False)
class Continuation:
    """What follows one beginning of an answer, for the groups (of shots with one question and answer) that
    have it.

    groups   (n,) places of the groups;  answers  (n,) which of the answers is theirs
    token    (n,) place in `ids` of what a group goes on with, -1 where it ends
    ids      (k,) distinct token ids, with those that may end an answer where one ends here
    ends     places in `ids` of these;  alike  whether different answers go on with one token
    """

    groups: Places
    answers: Places
    token: Places
    ids: Tensor
    ends: Places
    alike: bool

    def shares(self, votes: Floats, probs: Floats, lead: bool) -> Floats:
        """Votes (n,) of the groups as those of the tokens (k,); how to end is as likely as in `probs` (k,).

        lead: a token has the votes of the best of its answers instead of the sum of all.
        """
        import numpy as np

        if lead:
            votes = np.asarray(np.bincount(self.answers, votes)[self.answers], dtype=np.float64)
        going = self.token >= 0
        shares = np.zeros(len(probs))
        add: Any = np.maximum if lead else np.add
        add.at(shares, self.token[going], votes[going])
        if len(self.ends):
            ended = votes[~going].max() if lead else votes[~going].sum()
            own, total = probs[self.ends], probs[self.ends].sum()
            shares[self.ends] += ended * (own / total if total > 0 else np.full(len(own), 1.0 / len(own)))
        return shares


def continuations(answers: Sequence[str], codec: AnswerCodec) -> dict[tuple[int, ...], Continuation]:
    """For every beginning of the answers of the groups: how they go on."""
    tokens = {answer: tuple(codec.encode(answer)) for answer in dict.fromkeys(answers)}
    number = {answer: at for at, answer in enumerate(tokens)}
    table: dict[tuple[int, ...], tuple[list[int], list[int]]] = {}
    for group, answer in enumerate(answers):
        ids = tokens[answer]
        for at in range(len(ids) + 1):
            groups, following = table.setdefault(ids[:at], ([], []))
            groups.append(group)
            following.append(ids[at] if at < len(ids) else -1)
    ends = list(dict.fromkeys(codec.end_ids))
    return {
        begun: _continuation(groups, [number[answers[group]] for group in groups], following, ends)
        for begun, (groups, following) in table.items()
    }


def _continuation(
    groups: Sequence[int], answers: Sequence[int], following: Sequence[int], ends: Sequence[int]
) -> Continuation:
    import numpy as np
    import torch

    going = [token for token in following if token >= 0]
    ids = list(dict.fromkeys([*going, *(ends if len(going) < len(following) else ())]))
    place = {token: at for at, token in enumerate(ids)}
    return Continuation(
        np.array(groups, dtype=np.intp),
        np.array(answers, dtype=np.intp),
        np.array([place.get(token, -1) for token in following], dtype=np.intp),
        torch.tensor(ids),
        np.array([place[token] for token in ends] if len(going) < len(following) else [], dtype=np.intp),
        len(set(following)) < len(set(answers)),
    )
