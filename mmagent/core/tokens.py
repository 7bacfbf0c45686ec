"""Text to token ids and back, at the edges where a tokenizer is easily wrong.

A prompt is tokenised in pieces (text, soft tokens, text ...), an answer is read in pieces while it is made,
and a choice continues a text. Sentencepiece tokenizers put a space before whatever they are given and drop it
again when
they decode, so each piece is encoded, and decoded, as it would be after something else: after an *anchor*,
whose own tokens are then cut off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

__all__ = ["TextStream", "Tokens", "load_tokenizer"]

_ANCHORS = ("\n", "|", "0", "a")
KEPT_TEXTS, KEPT_LENGTH = 4096, 2000  # texts whose ids are remembered, and how long they may be
_BROKEN = "\ufffd"  # what an unfinished UTF-8 sequence decodes to


def load_tokenizer(where: str, options: Mapping[str, Any]) -> Any:
    """Load the tokenizer of a model directory or hub id, fast or slow.

    Where there is only a sentencepiece file and no family's own class, transformers rebuilds a tokenizer from
    it without the file's normaliser, which cuts texts elsewhere; then sentencepiece itself is used.
    """
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(where, **options)
    file = Path(str(getattr(tokenizer, "vocab_file", None) or ""))
    if file.suffix == ".model" and not file.with_name("tokenizer.json").exists() and _strays(tokenizer, file):
        from transformers.tokenization_utils_sentencepiece import SentencePieceBackend

        return SentencePieceBackend.from_pretrained(where, **options)
    return tokenizer


def _strays(tokenizer: Any, file: Path) -> bool:
    """Whether a generic tokenizer cuts a text otherwise than the sentencepiece file it was made from."""
    from sentencepiece import SentencePieceProcessor
    from transformers import PreTrainedTokenizerFast

    if type(tokenizer) is not PreTrainedTokenizerFast:
        return False
    try:
        original = SentencePieceProcessor(model_file=str(file))
    except RuntimeError:  # another format under the same name
        return False
    texts = ("once upon a time", " x", "a b\nc")
    ids = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    pieces = [tokenizer.convert_ids_to_tokens(i) for i in ids]
    return pieces != [original.encode(text, out_type=str) for text in texts]


class Tokens:
    """A tokenizer, with the questions the core asks of it.

    bos: the ids the tokenizer itself puts before a text (none for GPT-2, one for Llama).
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._remembered = lru_cache(KEPT_TEXTS)(self._encode)
        self.bos: tuple[int, ...] = _leading(tokenizer)
        anchored = self._after("\n", "x")
        self._adds_space = anchored is not None and anchored != self.encode("x")
        self._anchor = self.encode("a")[-1:]

    def encode(self, text: str) -> list[int]:
        """Ids of a text that begins a prompt, without special tokens of the tokenizer's own.

        Short texts are remembered: many prompts share their shots and their template.
        """
        return list(self._remembered(text) if len(text) <= KEPT_LENGTH else self._encode(text))

    def follow(self, text: str, before: str = "") -> list[int]:
        """Ids of a text that stands after `before`, or after soft tokens where there is no text before it."""
        if before:
            joined = self._after(before, text)
            if joined is not None:
                return joined
        if self._adds_space:
            for anchor in _ANCHORS:
                joined = self._after(anchor, text)
                if joined is not None:
                    return joined
        return self.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens left out, spaces as they are."""
        text = self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text)

    def stream(self, stop: Sequence[str] = ()) -> TextStream:
        """A reader for ids that come one by one and continue a prompt."""
        return TextStream(self, self._anchor, stop)

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(int(i) for i in self.tokenizer.encode(text, add_special_tokens=False, verbose=False))

    def _after(self, before: str, text: str) -> list[int] | None:
        """Ids of `text` cut from those of `before + text`; None where the two merge across the seam."""
        head, both = self.encode(before), self.encode(before + text)
        return both[len(head) :] if both[: len(head)] == head else None


class TextStream:
    """Turns ids into text as they come; what it released, joined, is the text it returns.

    Held back: bytes of an unfinished character, and an ending that may turn out to be a stop string.

    text: everything released so far.
    stopped: a stop string was met; it and what follows are not in `text`.
    """

    def __init__(self, tokens: Tokens, anchor: Sequence[int], stop: Sequence[str] = ()) -> None:
        self._decode = tokens.decode
        self._window = list(anchor)  # the last ids whose text is known, then those not yet read
        self._read = len(self._window)
        self._known = self._decode(self._window)
        self._stop = [word for word in stop if word]
        self._held = ""
        self._ends: list[int] = []  # length of the text after each id, stop strings included
        self.text = ""
        self.stopped = False

    def push(self, token: int) -> str:
        """Take one id; return the text that is now certain (often empty)."""
        self._window.append(token)
        whole = self._decode(self._window)
        piece = "" if whole.endswith(_BROKEN) else whole[len(self._known) :]
        if piece:
            self._window = self._window[self._read :]
            self._read = len(self._window)
            self._known = self._decode(self._window)
        self._ends.append(len(self.text) + len(self._held) + len(piece))
        return self._release(piece)

    def finish(self) -> str:
        """Return what was still held back, once no more ids will come."""
        if self.stopped:
            return ""
        rest = self._decode(self._window)[len(self._known) :]
        return self._release(rest, last=True)

    def n_answer_tokens(self) -> int:
        """Ids up to and with the one in which the stop string begins; all of them without a stop."""
        if not self.stopped:
            return len(self._ends)
        return 1 + next((i for i, end in enumerate(self._ends) if end > len(self.text)), len(self._ends) - 1)

    def _release(self, piece: str, last: bool = False) -> str:
        held = self._held + piece
        found = [place for place in (held.find(word) for word in self._stop) if place >= 0]
        if found:
            self.stopped = True
            out, self._held = held[: min(found)], ""
        else:
            keep = 0 if last else max((_overlap(held, word) for word in self._stop), default=0)
            out, self._held = held[: len(held) - keep], held[len(held) - keep :]
        self.text += out
        return out


def _overlap(text: str, word: str) -> int:
    """Length of the longest ending of `text` that begins `word`."""
    return next((n for n in range(min(len(text), len(word) - 1), 0, -1) if text.endswith(word[:n])), 0)


def _leading(tokenizer: Any) -> tuple[int, ...]:
    plain = tokenizer.encode("x", add_special_tokens=False)
    full = tokenizer.encode("x", add_special_tokens=True)
    if (
        not getattr(tokenizer, "is_fast", True) and full == plain
    ):  # slow ones leave the config's wish to the caller
        wished = getattr(tokenizer, "init_kwargs", {}).get("add_bos_token")
        return (int(tokenizer.bos_token_id),) if wished and tokenizer.bos_token_id is not None else ()
    starts = (i for i in range(len(full) - len(plain) + 1) if full[i : i + len(plain)] == plain)
    return tuple(int(i) for i in full[: next(starts, 0)])
