"""Text to ids and back at the seams: segments, continuations, streams, sentencepiece."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmagent.core import Core, Soft
from mmagent.core.tokens import TextStream, Tokens, load_tokenizer

STORY = "Once upon a time, there was a girl.\nShe said: “hé, 漢!”  two  spaces"


@pytest.fixture
def sentencepiece_dir(family_dir: Callable[[str], Path], tmp_path: Path) -> Callable[[str | None], Path]:
    """A directory that holds only the sentencepiece file of a real model, under a given tokenizer class."""

    def directory(tokenizer_class: str | None) -> Path:
        source = family_dir("stories260k")
        for name in ("tokenizer.model", "config.json", "model.safetensors", "generation_config.json"):
            shutil.copyfile(source / name, tmp_path / name)
        config = json.loads((source / "tokenizer_config.json").read_text())
        config["tokenizer_class"] = tokenizer_class
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
        return tmp_path

    return directory


@pytest.fixture
def stories(load: Callable[[str], Core]) -> Tokens:
    return load("stories260k").tokens


def read_back(tokens: Tokens, ids: list[int], stop: tuple[str, ...] = ()) -> tuple[list[str], TextStream]:
    stream = tokens.stream(stop)
    pieces = []
    for i in ids:
        pieces.append(stream.push(i))
        if stream.stopped:
            break
    pieces.append(stream.finish())
    return pieces, stream


def test_text_segments_around_soft_tokens_are_cut_as_in_running_text(
    load: Callable[[str], Core], soft: Callable[..., Soft]
) -> None:
    """A sentencepiece tokenizer puts a space before every text it is given; a segment has none of its own."""
    core = load("stories260k")
    running = core.tokenizer.encode("a\nOnce upon", add_special_tokens=False)
    head = core.tokenizer.encode("a", add_special_tokens=False)
    inputs = core.assemble([["a", soft(core, 1, 2), "\nOnce upon"]])
    assert inputs.keys[0][0] == core.tokenizer.bos_token_id
    assert inputs.keys[0][1 + len(head) + 2 :] == running[len(head) :]


def test_neighbouring_texts_are_one_text(llama: Core) -> None:
    whole, cut = llama.assemble(["the bird can fly"]), llama.assemble([["the bi", "", "rd can", " fly"]])
    assert cut.keys == whole.keys


@pytest.mark.parametrize(
    "tokenizer_class", [None, "PreTrainedTokenizerFast", "LlamaTokenizer", "GPTSw3Tokenizer"]
)
def test_a_sentencepiece_file_alone_gives_the_ids_of_sentencepiece(
    sentencepiece_dir: Callable[[str | None], Path], tokenizer_class: str | None
) -> None:
    from sentencepiece import SentencePieceProcessor

    directory = sentencepiece_dir(tokenizer_class)
    original = SentencePieceProcessor(model_file=str(directory / "tokenizer.model"))
    tokens = Tokens(load_tokenizer(str(directory), {}))
    assert tokens.encode(STORY) == original.encode(STORY)
    assert tokens.bos == (1,)
    assert tokens.follow("\nShe said") == original.encode("a\nShe said")[len(original.encode("a")) :]


def test_a_core_with_a_slow_tokenizer_answers_as_with_the_fast_one(
    sentencepiece_dir: Callable[[str | None], Path], load: Callable[[str], Core]
) -> None:
    slow = Core.load(sentencepiece_dir("GPTSw3Tokenizer"), device="cpu", dtype="float32")
    assert not slow.tokenizer.is_fast
    fast = load("stories260k")
    prompt = "Once upon a time"
    one, other = (core.generate([prompt], max_tokens=40)[0] for core in (slow, fast))
    assert (one.token_ids, one.text) == (other.token_ids, other.text)
    assert slow.score([prompt], [["there was", "dog"]]) == fast.score([prompt], [["there was", "dog"]])


def test_a_stream_gives_back_the_text_with_its_leading_space(stories: Tokens, llama: Core) -> None:
    for tokens in (stories, llama.tokens):
        ids = tokens.follow(" " + STORY, before="He said")
        pieces, stream = read_back(tokens, ids)
        assert "".join(pieces) == stream.text == " " + STORY
        assert sum(map(bool, pieces)) > 5


def test_a_character_of_several_tokens_is_released_whole(llama: Core) -> None:
    ids = llama.tokens.encode("漢é")
    assert len(ids) == 5  # bytes
    pieces, _ = read_back(llama.tokens, ids)
    assert [piece for piece in pieces if piece] == ["漢", "é"]


def test_a_broken_character_is_released_at_the_end(llama: Core) -> None:
    pieces, stream = read_back(llama.tokens, llama.tokens.encode("a漢")[:2])
    assert pieces[:2] == ["a", ""]
    assert stream.text == "a\ufffd"


def test_a_stop_string_of_several_tokens_is_never_shown(llama: Core) -> None:
    ids = llama.tokens.encode("xy END zz")
    stop = " END"
    assert len(llama.tokens.encode(stop)) > 1
    pieces, stream = read_back(llama.tokens, ids, (stop,))
    assert stream.stopped
    assert "".join(pieces) == stream.text == "xy"
    assert stream.n_answer_tokens() == len(llama.tokens.encode("xy")) + 1  # with the stop's first token


def test_what_only_looked_like_a_stop_string_is_shown(llama: Core) -> None:
    pieces, stream = read_back(llama.tokens, llama.tokens.encode("xy EN, END"), (" END.", "\n"))
    assert not stream.stopped
    assert "".join(pieces) == stream.text == "xy EN, END"


def test_the_earliest_stop_string_wins(llama: Core) -> None:
    _, stream = read_back(llama.tokens, llama.tokens.encode("abcdef"), ("ef", "cd"))
    assert stream.text == "ab"


def test_a_text_is_tokenised_once_and_its_ids_cannot_be_spoilt(
    llama: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = Tokens(llama.tokenizer)
    asked: list[str] = []
    encode = llama.tokenizer.encode

    def counted(text: str, **options: Any) -> Any:
        asked.append(text)
        return encode(text, **options)

    monkeypatch.setattr(llama.tokenizer, "encode", counted)
    first = tokens.encode("once upon a time")
    wanted = list(first)
    first.append(-1)
    assert tokens.encode("once upon a time") == wanted
    assert asked.count("once upon a time") == 1
    long = "once " * 1000
    assert tokens.encode(long) == tokens.encode(long)
    assert asked.count(long) == 2, "a long text is not kept"
