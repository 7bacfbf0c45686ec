"""A sense that knows what is asked: an input becomes what is asked of it, equal questions share the work."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from mmagent.agent import Agent, Request, Shot
from mmagent.asked import Asked
from mmagent.bundle import Bundle
from mmagent.core import Soft
from mmagent.errors import UserError
from mmagent.feature_cache import FeatureCache
from mmagent.modality import Features, Modality
from mmagent.plugins import Plugins, load_plugins

NOTE = b"NOTE\n"


@dataclass(frozen=True)
class Note:
    """A text and what is asked of it."""

    text: str
    question: str | None = None


class NoteReader:
    """Reads a text; keeps what was asked."""

    def load(self, source: object) -> Note:
        if isinstance(source, Asked):
            return replace(self.load(source.source), question=" ".join(source.question.split()))
        path = Path(str(source))
        if not path.is_file():
            raise UserError(f"there is no file {path}.")
        return Note(path.read_text().removeprefix(NOTE.decode()))

    def describe(self, raw: Note) -> str:
        return f"note of {len(raw.text)}"

    def fingerprint(self, raw: Note) -> str:
        return hashlib.sha256(f"{raw.text}\n{raw.question}".encode()).hexdigest()

    def load_encoder(self, location: str, **options: Any) -> NoteEncoder:
        return NoteEncoder()


class NoteEncoder:
    """Tells the words of a note that the question names, or all of it; counts what it looked at."""

    d_encoder = 2
    id = "notes"
    looked: ClassVar[list[Note]] = []

    def encode(self, batch: Sequence[Note]) -> Features:
        NoteEncoder.looked += batch
        sizes = [(len(raw.text), len(raw.question or "")) for raw in batch]
        pooled = torch.tensor(sizes, dtype=torch.float32)
        return Features(pooled[:, None], torch.ones(len(batch), 1, dtype=torch.bool), pooled)

    def tell(self, batch: Sequence[Note]) -> Sequence[str]:
        return [
            " ".join(word for word in raw.text.split() if not raw.question or word in raw.question.split())
            for raw in batch
        ]


class NotePlugins(Plugins):
    """The installed plugins and the sense of this test."""

    def __init__(self) -> None:
        super().__init__()
        self._found = load_plugins()
        self.adapters.update(self._found.adapters)
        self.modalities["note"] = Modality(
            "note", "for tests", "here:note", (".note",), self._sniff, asked=True
        )

    @staticmethod
    def _sniff(head: bytes) -> bool:
        return head.startswith(NOTE)

    def resolve(self, dotted: str) -> Any:
        return NoteReader if dotted == "here:note" else self._found.resolve(dotted)


@pytest.fixture(scope="module")
def listener(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Agent:
    """An agent whose one sense has no adapter and tells words."""
    place = tmp_path_factory.mktemp("notes") / "notes"
    senses = {"note": {"encoder": "note/encoder"}}
    parts = {"core": tiny_bundle / "core", "note/encoder/config.json": b"{}"}
    Bundle.write(place, {"name": "notes", "core": {"path": "core"}, "senses": senses}, parts, card="# n\n")
    return Agent.load(place, plugins=NotePlugins(), dtype="float32")


@pytest.fixture
def note(tmp_path: Path) -> Path:
    """A note that no other test has."""
    place = tmp_path / "a.note"
    place.write_bytes(NOTE + f"red cup {tmp_path.name}".encode())
    return place


@pytest.fixture(autouse=True)
def counted() -> Iterator[None]:
    NoteEncoder.looked.clear()
    return


def soft_of(agent: Agent, request: Request) -> Soft:
    [soft] = [part for part in agent.read(request).prompt if isinstance(part, Soft)]
    return soft


def test_words_stand_in_the_prompt_as_the_cores_own_embeddings(listener: Agent, note: Path) -> None:
    found = soft_of(listener, Request("is it red or blue", {"note": [note]}))
    ids = torch.tensor([listener.core.tokens.follow(" red")])
    assert torch.equal(found.embeds, listener.core.embed(ids)[0])
    told = listener.core.generate([["Note:", found, "\nCaption:"], "Note: red\nCaption:"], max_tokens=8)
    assert told[0].text == told[1].text  # soft tokens of words are those words


def test_another_question_finds_other_words(listener: Agent, note: Path) -> None:
    red = soft_of(listener, Request("red ?", {"note": [note]}))
    cup = soft_of(listener, Request("cup ?", {"note": [note]}))
    both = soft_of(listener, Request(None, {"note": [note]}))
    assert red.key != cup.key != both.key
    assert len(both) > max(len(red), len(cup))
    assert listener.prefix("note", Asked(note, "cup ?")).key == cup.key


def test_equal_questions_share_the_work(listener: Agent, note: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.note"
    copy.write_bytes(note.read_bytes())
    asked = [Request(q, {"note": [source]}) for source in (note, copy) for q in ("red ?", "cup ?", "red  ?")]
    whole = [soft_of(listener, one).key for one in asked]
    assert len(NoteEncoder.looked) == 2  # two questions about one content
    together = [listener.read_many(asked)[at].prompt for at in range(6)]
    assert [next(p.key for p in prompt if isinstance(p, Soft)) for prompt in together] == whole
    assert len(NoteEncoder.looked) == 2


def test_a_changed_file_is_read_again(listener: Agent, note: Path) -> None:
    before = soft_of(listener, Request("red green ?", {"note": [note]}))
    note.write_bytes(NOTE + b"green cups now")
    assert soft_of(listener, Request("red green ?", {"note": [note]})).key != before.key


def test_what_cannot_be_read_is_told_in_its_place(listener: Agent, note: Path, tmp_path: Path) -> None:
    lost = Request("red ?", {"note": [tmp_path / "lost.note"]})
    bad, good = listener.read_many([lost, Request("red ?", {"note": [note]})])
    assert isinstance(bad, UserError)
    assert "there is no file" in str(bad)
    assert not isinstance(good, UserError)


def test_a_shot_is_seen_in_the_light_of_its_own_question(listener: Agent, note: Path) -> None:
    shots = [Shot("a cup", "cup ?", {"note": [note]}), Shot("red thing", None, {"note": [note]})]
    for asked in ("red ?", "blue ?"):
        listener.read(Request(asked, {"note": [note]}, shots))
    questions = [note.question for note in NoteEncoder.looked]
    assert sorted(map(str, questions)) == ["blue ?", "cup ?", "red ?"]


def test_a_store_between_changes_nothing(listener: Agent, note: Path, tmp_path: Path) -> None:
    request = Request("cup of what ?", {"note": [note]})
    with listener.reading_from(FeatureCache(tmp_path / "cache")):
        through = soft_of(listener, request).key
    assert soft_of(listener, request).key == through


def test_what_is_compared_with_the_agent_sees_the_questions(
    listener: Agent, note: Path, tmp_path: Path
) -> None:
    from mmagent.data import read_labelled
    from mmagent.evaluation.features import pooled_features

    rows = [{"note": str(note), "question": q, "answer": "x"} for q in ("red ?", "a longer one ?")]
    data = read_labelled(rows, listener.plugins.modalities)
    found = pooled_features(listener, data.examples, cache=FeatureCache(tmp_path / "cache"))
    assert np.array_equal(found[:, 1], [len("red ?"), len("a longer one ?")])


def test_prompts_to_look_at_are_those_that_are_asked(listener: Agent, note: Path) -> None:
    from mmagent.data import read_labelled
    from mmagent.data.shown import Prompts

    asked = "what is red ?"
    data = read_labelled([{"note": str(note), "question": asked, "answer": "x"}], listener.plugins.modalities)
    report, problems, why = Prompts(data, listener).look(data.examples)
    assert (problems, why) == ([], None)
    assert report is not None
    n = len(soft_of(listener, Request(asked, {"note": [note]})))
    assert f"<note: {n} tokens>" in report.shown[0].prompt


def test_training_sees_each_input_in_the_light_of_its_question(
    listener: Agent, note: Path, tmp_path: Path
) -> None:
    from mmagent.data import read_labelled
    from mmagent.training.prepare import prepare
    from mmagent.training.settings import TrainSettings

    questions = ["red ?", "is it a cup ?", "what is red ?"]
    rows = [
        {"note": str(note), "question": asked, "answer": answer, "split": split}
        for asked in questions
        for answer, split in (("a", "train"), ("b", "train"), ("a", "validation"))
    ]
    data = read_labelled(rows, listener.plugins.modalities)
    made = prepare(data, listener, TrainSettings(adapter="prefix"), cache=FeatureCache(tmp_path / "cache"))
    pooled = made.everything()["note"].pooled
    assert sorted(pooled[:, 1].tolist()) == sorted([float(len(one)) for one in questions] * 3)
    assert {one.question for one in NoteEncoder.looked} == set(questions)


def test_an_encoder_with_nothing_to_tell_is_said_to_have_nothing(listener: Agent, note: Path) -> None:
    with pytest.raises(UserError, match="the encoder for 'note' has nothing to tell of that"):
        listener.ask("is it green", note=note)


def test_what_is_no_answer_is_not_copied(listener: Agent, note: Path) -> None:
    assert listener.read(Request("is it red or blue", {"note": [note]})).copying is None
