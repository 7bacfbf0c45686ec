"""From documents to batches: the real text, the tokenizer, and documents of like length side by side."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import torch
from sight_words import WORDS
from soft import Soft
from spans import Doc, text_of
from text import Pen
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

VOCABULARY = 4096
REAL_SHARE = 0.015
BOS, EOS, PAD = "<s>", "</s>", "<pad>"


def real_text(data: Path) -> list[str]:
    """Passages of about 1,000 characters: novels, plays, encyclopaedia, school sums, table questions,
    reviews.
    """
    out: list[str] = []
    wiki = (data / "text/wikitext2_train.txt").read_text(encoding="utf8")
    wiki = re.sub(r" @(.)@ ", r"\1", wiki).replace(" <unk>", " something")
    wiki = re.sub(r" ([,.;:?!)'])", r"\1", wiki).replace("( ", "(")
    books = [wiki, (data / "text/tinyshakespeare.txt").read_text(encoding="utf8")]
    for path in sorted((data / "text/novels").glob("*.gz")):
        with gzip.open(path, "rt", encoding="utf8") as file:
            books.append(file.read().replace("\n", " "))
    for book in books:
        out += [book[i : i + 1000] for i in range(0, len(book), 1000)]
    with (data / "gsm8k/train.jsonl").open(encoding="utf8") as lines:
        rows = [json.loads(line) for line in lines]
    out += [f"Question: {row['question']}\nAnswer: {row['final_answer']}\n" for row in rows]
    for path in sorted((data / "sentences").glob("*.parquet")):
        sentences = pq.read_table(path).to_pylist()
        out += [" ".join(r["sentence"] for r in sentences[i : i + 12]) for i in range(0, len(sentences), 12)]
    return out


def train_tokenizer(data: Path, out: Path, *, documents: int = 40_000) -> PreTrainedTokenizerFast:
    """A byte-level BPE of 4,096 pieces, the visual words among them; saved to `out`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(WORDS),
        special_tokens=[PAD, BOS, EOS],
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    written = [text_of(Pen(f"tokenizer {i}", folded=0.0).document()) for i in range(documents)]
    visual = re.compile(r"<v\d+\.\d>")
    tokenizer.train_from_iterator([visual.sub("", text) for text in written] + real_text(data)[::3], trainer)
    tokenizer.add_tokens([AddedToken(word, normalized=False, special=False) for word in WORDS])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        model_max_length=1024,
        padding_side="left",
    )
    fast.save_pretrained(out)
    return fast


@dataclass
class Encoded:
    """One document: token ids, their weights, and where folded words stand (first position, words)."""

    ids: list[int]
    weights: list[float]
    folded: list[tuple[int, Soft]]


@dataclass
class Part:
    """Documents of like length, one a row, padded at the end.

    ids, weights (B, T); of the N folded positions: at (N, 2) row and column, words (N, M) token ids, shares
    (N, M) with a root sum of squares of 1 in each row, noise (N,).
    """

    ids: Tensor
    weights: Tensor
    at: Tensor
    words: Tensor
    shares: Tensor
    noise: Tensor


class Batches:
    """Documents without end, as batches of about `tokens` tokens."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        real: list[str],
        *,
        seed: int,
        tokens: int,
        length: int = 512,
    ) -> None:
        self.backend, self.real = tokenizer.backend_tokenizer, real
        self.bos, self.pad = tokenizer.bos_token_id, tokenizer.pad_token_id
        self.seed, self.tokens, self.length = seed, tokens, length
        self.known: dict[str, list[int]] = {}

    def encode(self, doc: Doc) -> Encoded:
        """Token ids and weights, the beginning of text first."""
        ids, weights, folded = [self.bos], [0.0], []
        said = self.backend.encode_batch([s for s, _ in doc if isinstance(s, str)], add_special_tokens=False)
        texts = iter(said)
        for span, weight in doc:
            if isinstance(span, Soft):
                if len(ids) + len(span.bags) <= self.length:
                    folded.append((len(ids), span))
                new = [self.pad] * len(span.bags)
            else:
                new = next(texts).ids
            ids += new
            weights += [weight] * len(new)
        return Encoded(ids[: self.length], weights[: self.length], folded)

    def pieces(self, words: str) -> list[int]:
        """Token ids of words that stand in a bag."""
        if words not in self.known:
            self.known[words] = self.backend.encode(words, add_special_tokens=False).ids
        return self.known[words]

    def _documents(self, step: int, hardness: float) -> Iterator[Doc]:
        pen, rng = Pen(f"{self.seed} {step}", hardness), random.Random(f"real {self.seed} {step}")
        while True:
            yield [(rng.choice(self.real), 0.3)] if rng.random() < REAL_SHARE else pen.document()

    def batch(self, step: int, hardness: float) -> list[Part]:
        """Batch number `step`."""
        docs: list[Encoded] = []
        total = 0
        for doc in self._documents(step, hardness):
            docs.append(self.encode(doc))
            total += len(docs[-1].ids)
            if total >= self.tokens:
                break
        return self.parts(docs)

    def parts(self, docs: list[Encoded]) -> list[Part]:
        """The documents in groups of like length, so that little is padded."""
        groups: list[list[Encoded]] = []
        for doc in sorted(docs, key=lambda d: len(d.ids)):
            if not groups or len(doc.ids) > max(48, 1.45 * len(groups[-1][0].ids)):
                groups.append([])
            groups[-1].append(doc)
        return [self.part(group) for group in groups]

    def part(self, docs: list[Encoded]) -> Part:
        """These documents as one tensor each."""
        width = max(len(d.ids) for d in docs)
        at = [
            (r, start + k)
            for r, d in enumerate(docs)
            for start, soft in d.folded
            for k in range(len(soft.bags))
        ]
        noise = [soft.noise for d in docs for _, soft in d.folded for _ in soft.bags]
        bags: list[dict[int, float]] = []
        for d in docs:
            for _, soft in d.folded:
                bags += [self.spread(words) for words in soft.bags]
        most = max((len(b) for b in bags), default=1)
        return Part(
            torch.tensor([d.ids + [self.pad] * (width - len(d.ids)) for d in docs]),
            torch.tensor([d.weights + [0.0] * (width - len(d.ids)) for d in docs]),
            torch.tensor(at, dtype=torch.long).view(-1, 2),
            torch.tensor([[*b, *([self.pad] * (most - len(b)))] for b in bags], dtype=torch.long).view(
                -1, most
            ),
            torch.tensor([[*b.values(), *([0.0] * (most - len(b)))] for b in bags]).view(-1, most),
            torch.tensor(noise),
        )

    def spread(self, words: dict[str, float]) -> dict[int, float]:
        """Token ids of a bag and their shares, scaled to a root sum of squares of 1."""
        out: dict[int, float] = {}
        for phrase, share in words.items():
            for piece in self.pieces(phrase):
                out[piece] = out.get(piece, 0.0) + share
        length = sum(x * x for x in out.values()) ** 0.5
        return {piece: x / length for piece, x in out.items()}
