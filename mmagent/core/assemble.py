"""The one way into the core: text and soft tokens become input embeddings, masks and position ids.

Text goes through the model's own embedding module, so what a family does there (Gemma's scaling, OPT's
projection) is done as the model does it. Rows are padded on the left, so that every row's next token is in
the last column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mmagent.core.prompt import Prompt, Soft
from mmagent.errors import UserError

if TYPE_CHECKING:
    from mmagent.core.loading import Core

__all__ = ["Inputs", "Row", "assemble", "check_room", "pack", "read", "read_continuation", "spell"]

Key = int | str


@dataclass(frozen=True)
class Inputs:
    """A batch as the core takes it, padded on the left to T columns.

    embeds: (B, T, d_core), zero where padded, in the core's dtype.
    attention_mask: (B, T) long, 1 where there is a token.
    position_ids: (B, T) long, counted from each row's first token.
    keys: per row, per token, what it is: a token id, or the content key and place of a soft token.
    """

    embeds: Tensor
    attention_mask: Tensor
    position_ids: Tensor
    keys: list[list[Key]]

    @property
    def lengths(self) -> list[int]:
        """Tokens per row, padding left out."""
        return [len(keys) for keys in self.keys]

    @property
    def padded(self) -> bool:
        """Whether any row is shorter than the longest."""
        return min(self.lengths) != max(self.lengths)


@dataclass(frozen=True)
class Row:
    """One prompt, tokenised: runs of token ids and soft tokens in reading order."""

    parts: tuple[tuple[int, ...] | Soft, ...]
    ends_in: str
    """The text at the very end of the prompt; empty where it ends in soft tokens."""

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    @property
    def keys(self) -> list[Key]:
        """What each token is, for content-keyed reuse."""
        keys: list[Key] = []
        for part in self.parts:
            keys += [f"{part.key}:{i}" for i in range(len(part))] if isinstance(part, Soft) else part
        return keys

    def then(self, ids: Sequence[int]) -> Row:
        """This row with more token ids after it."""
        return Row((*self.parts, tuple(ids)), self.ends_in) if ids else self


def assemble(core: Core, prompts: Sequence[Prompt | str | Row]) -> Inputs:
    """Turn prompts into one left-padded batch.

    Raises UserError for an empty prompt, for soft tokens of another width than the core's, and for a prompt
    longer than the core reads.
    """
    rows = [read(core, prompt) for prompt in prompts]
    check_room(core, rows, 0)
    return pack(core, rows)


def read(core: Core, prompt: Prompt | str | Row) -> Row:
    """Tokenise one prompt; the tokenizer's own beginning-of-text token comes first where it has one.

    A row that was read before stays as it is.
    """
    if isinstance(prompt, Row):
        return prompt
    segments = _joined([prompt] if isinstance(prompt, str) else prompt)
    tokens = core.tokens
    parts: list[tuple[int, ...] | Soft] = [tokens.bos] if tokens.bos else []
    for index, segment in enumerate(segments):
        if isinstance(segment, Soft):
            parts.append(_checked(core, segment))
        else:
            parts.append(tuple(tokens.follow(segment) if index else tokens.encode(segment)))
    row = Row(tuple(parts), segments[-1] if segments and isinstance(segments[-1], str) else "")
    if not len(row):
        raise UserError("the prompt is empty: give the core a question or an input to read.")
    return row


def read_continuation(core: Core, row: Row, text: str) -> list[int]:
    """Ids of a text that continues a row: a choice to score, a target to learn.

    A space is put between the two unless there is whitespace already, or nothing before.
    """
    if len(row) > len(core.tokens.bos) and not row.ends_in[-1:].isspace() and not text[:1].isspace():
        text = " " + text
    ids = core.tokens.follow(text, before=row.ends_in)
    if not ids:
        raise UserError(f"the core's tokenizer makes no tokens of {text!r}: give a text that is not empty.")
    return ids


def spell(core: Core, text: str) -> Tensor:
    """A text as the core's embeddings of its tokens, as it would stand after soft tokens: (n, d_core)."""
    ids = torch.tensor([core.tokens.follow(text)], dtype=torch.long, device=core.device)
    with torch.no_grad():
        words: Tensor = core.embed(ids)[0]
    return words.float()


def check_room(core: Core, rows: Sequence[Row], more: int) -> None:
    """Raise UserError where a row and `more` tokens after it are longer than the core reads."""
    limit = core.max_positions
    if limit is None:
        return
    for index, row in enumerate(rows):
        if len(row) + more > limit:
            which = "the prompt" if len(rows) == 1 else f"prompt {index + 1} of {len(rows)}"
            extra = f" and its answer may take {more}" if more else ""
            raise UserError(
                f"{which} has {len(row)} tokens{extra}, but this core reads {limit} at most: "
                "give fewer shots, a shorter question or fewer answer tokens."
            )


def pack(core: Core, rows: Sequence[Row]) -> Inputs:
    """Embed rows and pad them on the left. Gradients flow to the embeddings of soft tokens."""
    lengths = [len(row) for row in rows]
    width = max(lengths)
    embedded = _embed(core, rows)  # (sum of lengths, d_core)
    starts = [width - length for length in lengths]
    places = [r * width + c for r, start in enumerate(starts) for c in range(start, width)]
    if len(places) == len(rows) * width:
        embeds = embedded.view(len(rows), width, -1)
    else:
        flat = embedded.new_zeros(len(rows) * width, embedded.shape[1])
        where = torch.tensor(places, device=embedded.device)
        embeds = flat.index_copy(0, where, embedded).view(len(rows), width, -1)
    columns = torch.arange(width, device=core.device)
    offset = torch.tensor(starts, device=core.device)[:, None]
    positions = columns[None] - offset  # (B, T), negative where padded
    return Inputs(embeds, (positions >= 0).long(), positions.clamp(min=0), [row.keys for row in rows])


def _embed(core: Core, rows: Sequence[Row]) -> Tensor:
    """Embeddings of all rows one after the other; the table is read once."""
    parts = [part for row in rows for part in row.parts]
    ids = [i for part in parts if not isinstance(part, Soft) for i in part]
    if ids and max(ids) >= core.vocab_size:
        raise UserError(
            f"the tokenizer gave token {max(ids)}, but the core's table ends at {core.vocab_size - 1}: "
            "this tokenizer and these weights do not belong together."
        )
    table = core.embed(torch.tensor(ids, dtype=torch.long, device=core.device))
    pieces, at = [], 0
    for part in parts:
        if isinstance(part, Soft):
            pieces.append(part.embeds.to(device=table.device, dtype=table.dtype))
        else:
            pieces.append(table[at : at + len(part)])
            at += len(part)
    return torch.cat(pieces) if len(pieces) > 1 else pieces[0]


def _joined(prompt: Prompt) -> list[str | Soft]:
    """The prompt with neighbouring texts joined and empty ones left out."""
    out: list[str | Soft] = []
    for segment in prompt:
        if isinstance(segment, Soft):
            out.append(segment)
        elif out and isinstance(out[-1], str):
            out[-1] += segment
        elif segment:
            out.append(segment)
    return out


def _checked(core: Core, soft: Soft) -> Soft:
    shape = tuple(soft.embeds.shape)
    if len(shape) != 2 or shape[1] != core.d_core:
        raise UserError(
            f"a prefix of shape {shape} does not fit this core, which takes (n_tokens, {core.d_core}): "
            "the adapter was made for another core."
        )
    return soft
