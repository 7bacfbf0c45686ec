"""From documents to batches: the real text, the tokenizer, and rows of packed documents."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import torch
from sight_words import WORDS
from text import Doc, Pen
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

VOCABULARY = 4096
REAL_SHARE = 0.1
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
    written = ["".join(span for span, _ in Pen(f"tokenizer {i}").document()) for i in range(documents)]
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


class Batches:
    """Packed rows without end: documents never see each other (block mask), positions start anew in each."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, real: list[str], *, seed: int, rows: int, length: int
    ) -> None:
        self.backend, self.real = tokenizer.backend_tokenizer, real
        self.bos, self.pad = tokenizer.bos_token_id, tokenizer.pad_token_id
        self.seed, self.rows, self.length = seed, rows, length

    def encode(self, doc: Doc) -> tuple[list[int], list[float]]:
        """Token ids and their weights, the beginning of text first."""
        ids, weights = [self.bos], [0.0]
        for piece, (_, weight) in zip(
            self.backend.encode_batch([t for t, _ in doc], add_special_tokens=False), doc, strict=True
        ):
            ids += piece.ids
            weights += [weight] * len(piece.ids)
        return ids[: self.length], weights[: self.length]

    def _documents(self, step: int, hardness: float) -> Iterator[Doc]:
        pen, rng = Pen(f"{self.seed} {step}", hardness), random.Random(f"real {self.seed} {step}")
        while True:
            yield [(rng.choice(self.real), 0.3)] if rng.random() < REAL_SHARE / 2 else pen.document()

    def batch(self, step: int, hardness: float) -> dict[str, Tensor]:
        """Batch number `step`: ids, weights, positions (rows, length) and mask (rows, 1, length, length)
        bool.
        """
        rows: list[tuple[list[int], list[float], list[int], list[int]]] = [
            ([], [], [], []) for _ in range(self.rows)
        ]
        misses = 0
        for number, doc in enumerate(self._documents(step, hardness)):
            ids, weights = self.encode(doc)
            row = next((r for r in rows if len(r[0]) + len(ids) <= self.length), None)
            if row is None:
                misses += 1
                if misses > 12:
                    break
                continue
            row[0].extend(ids)
            row[1].extend(weights)
            row[2].extend(range(len(ids)))
            row[3].extend([number + 1] * len(ids))
        fill = lambda part, pad: torch.tensor([r[part] + [pad] * (self.length - len(r[part])) for r in rows])  # noqa: E731
        owner = fill(3, 0)
        causal = torch.ones(self.length, self.length, dtype=torch.bool).tril()
        mask = (owner[:, :, None] == owner[:, None, :]) & causal
        return {
            "ids": fill(0, self.pad),
            "weights": fill(1, 0.0),
            "positions": fill(2, 0),
            "mask": mask[:, None],
        }
