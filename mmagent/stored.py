"""The shots that a bundle keeps for a sense, so that they vote in every question (Tip-Adapter's cache).

A stored shot is a key, an answer, perhaps a question, and where it came from. What is kept is the key itself,
in the space of the sense's memory settings, and not the features it was made from: keys may have been
fine-tuned since (Tip-Adapter-F), nothing is computed when a bundle is loaded, and a projection may have made
them shorter. Keys lie in `<sense>/shots.safetensors`, all else in `<sense>/shots.json`, both listed in the
manifest with their checksums.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mmagent.errors import UserError
from mmagent.tensors import read_tensors

if TYPE_CHECKING:
    from torch import Tensor

    from mmagent.bundle import Bundle

__all__ = ["StoredShots", "read_stored"]

FORMAT = 1


@dataclass(frozen=True, eq=False)
class StoredShots:
    """N answered examples of one sense, each with the same number n of media.

    keys       (N, n, d_key) unit vectors, float32, on the CPU
    questions  None: the shot answers whatever is asked
    sources    where each came from, for people
    """

    keys: Tensor
    questions: tuple[str | None, ...]
    answers: tuple[str, ...]
    sources: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.answers)

    @property
    def n_media(self) -> int:
        """Media of each shot, which a question must have as many of."""
        return int(self.keys.shape[1])

    @property
    def joint_keys(self) -> Tensor:
        """(N, n d_key): the keys of a shot's media one after the other, a unit vector again."""
        whole: Tensor = self.keys.flatten(1) / self.n_media**0.5
        return whole

    @property
    def question(self) -> str | None:
        """The one question that all of them answer; None where there is none or there are several."""
        asked = set(self.questions)
        return asked.pop() if len(asked) == 1 else None

    def as_parts(self, sense: str) -> tuple[dict[str, str], dict[str, Any]]:
        """The entry "shots" of a sense in the manifest, and the parts for `Bundle.write`."""
        names = {"keys": f"{sense}/shots.safetensors", "texts": f"{sense}/shots.json"}
        rows = [
            {"question": question, "answer": answer, "source": source}
            for question, answer, source in zip(self.questions, self.answers, self.sources, strict=True)
        ]
        text = json.dumps({"format": FORMAT, "shots": rows}, ensure_ascii=False, indent=1) + "\n"
        return names, {names["keys"]: {"keys": self.keys}, names["texts"]: text}


def read_stored(bundle: Bundle, sense: str) -> StoredShots | None:
    """The shots that a bundle keeps for a sense, None where it keeps none.

    Raises `UserError` where its files do not hold what they must.
    """
    entry = bundle.sense(sense).shots
    if entry is None:
        return None
    where = f"bundle {bundle.name!r}: {entry.texts}"
    try:
        raw = json.loads((bundle.path / entry.texts).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{where} cannot be read: {error}. Fetch the bundle again.") from error
    rows = raw.get("shots") if isinstance(raw, dict) and raw.get("format") == FORMAT else None
    if not isinstance(rows, list) or not rows or not all(_is_shot(row) for row in rows):
        raise UserError(f"{where} holds no list of shots in format {FORMAT}. Train the bundle again.")
    keys = read_tensors(bundle.path / entry.keys).get("keys")
    if keys is None or keys.ndim != 3 or len(keys) != len(rows) or not bool(keys.isfinite().all()):
        found = "no tensor 'keys'" if keys is None else f"keys of shape {tuple(keys.shape)}"
        raise UserError(
            f"bundle {bundle.name!r}: {entry.keys} holds {found} for {len(rows)} shots; wanted are finite "
            f"numbers ({len(rows)}, media, d_key). Train the bundle again."
        )
    return StoredShots(
        keys.float(),
        tuple(row["question"] for row in rows),
        tuple(row["answer"] for row in rows),
        tuple(row["source"] for row in rows),
    )


def _is_shot(row: Any) -> bool:
    """Whether an entry of shots.json says what a shot says."""
    if not isinstance(row, Mapping):
        return False
    question, answer, source = (row.get(name, 0) for name in ("question", "answer", "source"))
    said = isinstance(answer, str) and bool(answer.strip()) and isinstance(source, str)
    return said and (question is None or isinstance(question, str))
