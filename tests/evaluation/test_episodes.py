"""Few-shot episodes: drawn by a seed, asked with the right shots, and right only as the exact, ended name."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmagent import Agent
from mmagent.answer import Answer
from mmagent.data import LabelledSet, read_labelled
from mmagent.errors import UserError
from mmagent.evaluation.episodes import (
    INVENTED,
    Setting,
    evaluate_episodes,
    parse_settings,
    sample_episodes,
    write_episodes,
)
from mmagent.evaluation.episodes.asking import Asker, nearest_mean_right
from mmagent.evaluation.page import as_text
from mmagent.plugins import load_plugins
from mmagent.request import Request

COLOURS = {"red": (220, 20, 30), "green": (20, 200, 40), "blue": (20, 40, 220)}
TWO = Setting(2, 1)


@pytest.fixture(scope="module")
def data() -> LabelledSet:
    """Six pictures of each of three colours, no two alike."""
    rows = [
        {"image": Image.new("RGB", (40, 40), (red, green, blue + 4 * at)), "label": colour}
        for colour, (red, green, blue) in COLOURS.items()
        for at in range(6)
    ]
    return read_labelled(rows, load_plugins().modalities)


@pytest.fixture(scope="module")
def agent() -> Agent:
    return Agent.load("tiny")


@pytest.fixture
def asker(data):
    """An asker whose agent knows nothing, and whose keys are the numbers of the colours."""

    def made(agent: Any = None, **more: Any) -> Asker:
        episodes = more.pop("episodes", None) or sample_episodes(data.examples, 2, 4, most_shots=3, seed=1)
        hue = {"red": (1.0, 0.0), "green": (0.6, 0.8), "blue": (-0.6, 0.8)}
        keys = {one.row: np.array([*hue[one.answer], 0.01 * one.row]) for one in data.examples}
        given = {
            "question": "What is this?",
            "label": "Picture",
            "keys": keys,
            "told": lambda one: one.answer,
            "induction": False,
            "shot_choice": "random",
            "max_tokens": 8,
            "batch_size": 32,
            "seed": 0,
        }
        return Asker(agent, episodes, **{**given, **more})

    return made


def everything(asker: Asker) -> range:
    return range(len(asker.queries))


def test_settings_are_every_combination():
    assert parse_settings("ways=2,shots=1,3,repeats=0,5") == (
        Setting(2, 1),
        Setting(2, 1, 5),
        Setting(2, 3),
        Setting(2, 3, 5),
    )
    assert parse_settings(" shots = 2, 2 , ways=5,queries=3 ") == (Setting(5, 2, 0, 3),)
    assert Setting(5, 3, 1).n_shots == 30
    assert [one.name for one in parse_settings("ways=2,shots=1,repeats=0,1,5")] == [
        "2-way 1-shot",
        "2-way 1-shot, 1 repeat",
        "2-way 1-shot, 5 repeats",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "begins with ''"),
        ("2,shots=1", "begins with '2'"),
        ("ways=2", "does not say how many shots"),
        ("shots=1", "does not say how many ways"),
        ("ways=2,shot=1", r"no 'shot'.*Did you mean 'shots'\?"),
        ("ways=2,shots=one", "shots is 'one'"),
        ("ways=2,shots=", "shots is nothing"),
        ("ways=2,shots=1,", "shots is nothing"),
        ("ways=1,shots=1", "ways=1 is too few"),
        ("ways=2,shots=0", "shots=0 is too few"),
        ("ways=2,shots=1,ways=3", "ways is given twice"),
        ("ways=2,shots=-1", "shots is '-1'"),
    ],
)
def test_settings_that_mean_nothing(text, words):
    with pytest.raises(UserError, match=words) as error:
        parse_settings(text)
    assert "Write it like ways=2,shots=1,3,5" in str(error.value)


def test_invented_words_can_be_said_and_told_apart():
    assert len(INVENTED) == len(set(INVENTED)) >= 40
    assert {"dax", "blicket"} <= set(INVENTED)
    for word in INVENTED:
        assert re.fullmatch(r"[a-z]{3,8}", word)
        assert re.search("[aeiou]", word)
        assert not re.search(r"[^aeiouy]{4}|[aeiou]{3}", word), word
        assert not [other for other in INVENTED if other != word and other.startswith(word)]


def test_invented_words_stand_in_no_english_text(shared_data):
    text = " ".join(file.read_text(encoding="utf-8") for file in (shared_data / "text").glob("*.txt"))
    assert set(re.findall(r"\b[a-z]+\b", text)) & set(INVENTED) == set()


def test_episodes_are_those_of_their_seed(data):
    def drawn(count: int, seed: int) -> list[Any]:
        episodes = sample_episodes(data.examples, 2, count, most_shots=3, seed=seed)
        return [(one.classes, one.names, one.queries, one.shots(Setting(2, 3))) for one in episodes]

    assert drawn(8, 3) == drawn(8, 3)
    assert drawn(5, 3) == drawn(8, 3)[:5]
    assert drawn(8, 4) != drawn(8, 3)


def test_an_episode_asks_about_every_class_and_shows_no_query(data):
    for episode in sample_episodes(data.examples, 3, 10, most_shots=3, queries=2, seed=0):
        called = dict(zip(episode.classes, episode.names, strict=True))
        shown = episode.shots(Setting(3, 3))
        assert set(episode.names) <= set(INVENTED)
        assert Counter(name for _, name in episode.queries) == dict.fromkeys(episode.names, 2)
        assert Counter(name for _, name in shown) == dict.fromkeys(episode.names, 3)
        assert all(called[one.answer] == name for one, name in (*shown, *episode.queries))
        rows = [one.row for one, _ in (*shown, *episode.queries)]
        assert len(set(rows)) == len(rows)


def test_fewer_shots_are_the_first_of_more_and_repeats_are_the_same_again(data):
    [episode] = sample_episodes(data.examples, 2, 1, most_shots=3)
    three = episode.shots(Setting(2, 3))
    assert episode.shots(Setting(2, 1)) == three[:2]
    assert episode.shots(Setting(2, 3, 2)) == three * 3


def test_places_tell_no_names(data):
    episodes = sample_episodes(data.examples, 2, 200, most_shots=1)
    first = sum(one.shots(TWO)[0][1] == one.queries[0][1] for one in episodes)
    assert 70 < first < 130  # 100 expected; 4 deviations


def test_real_names_are_the_classes(data):
    for episode in sample_episodes(data.examples, 2, 3, most_shots=1, names="real"):
        assert episode.names == episode.classes


@pytest.mark.parametrize(("ways", "shots"), [(4, 1), (2, 6)])
def test_too_few_classes_are_told(data, ways, shots):
    with pytest.raises(
        UserError, match=rf"{ways}-way episodes need {ways} classes with at least {shots + 1}"
    ):
        sample_episodes(data.examples, ways, 1, most_shots=shots)


def saying(*texts: str, tokens: int = 3) -> Any:
    """An agent that answers these, over and over."""

    def ask_many(requests: Any, **options: Any) -> list[Answer]:
        said = [texts[at % len(texts)] for at in range(len(requests))]
        return [Answer(text, 0.5, "x", 0.0, tokens, 9) for text in said]

    return SimpleNamespace(ask_many=ask_many)


def test_only_the_exact_name_that_has_ended_is_right(asker):
    names = [name for _, (_, name) in asker().queries]
    block = everything(asker())

    def right(*said: str, **more: Any) -> list[float]:
        return [row.correct for row in asker(saying(*said, **more)).answers(TWO, None, False, block)]

    assert right(*names) == [1.0] * len(names)
    assert right(*(f" {name} " for name in names)) == [1.0] * len(names)
    for wrong in (
        str.upper,
        lambda name: f"{name}.",
        lambda name: f"a {name}",
        lambda name: f"{name} {name}",
    ):
        assert sum(right(*map(wrong, names))) == 0
    assert sum(right(*names, tokens=8)) == 0  # as many tokens as allowed: it had not ended


def test_queries_of_an_episode_share_their_shots(asker):
    some = asker()
    requests = some.requests(TWO, None, everything(some))
    assert len(requests) == 8
    assert len({id(one.shots) for one in requests}) == 4
    for (episode, (example, _)), request in zip(some.queries, requests, strict=True):
        assert request.media == example.media
        assert [(shot.answer, shot.media) for shot in request.shots] == [
            (name, one.media) for one, name in episode.shots(TWO)
        ]


def media_of(request: Request) -> list[Any]:
    return [one for items in request.media.values() for one in items]


def test_controls_are_asked_the_same_without_their_media(asker, data):
    some = asker()
    colour = {id(one.media["image"][0]): one.answer for one in data.examples}
    whole = everything(some)
    for request in some.requests(TWO, "blind", whole) + some.requests(TWO, "oracle", whole):
        assert not media_of(request)
        assert not any(shot.media for shot in request.shots)
    for (_, (example, _)), request in zip(some.queries, some.requests(TWO, "shuffled", whole), strict=True):
        assert colour[id(media_of(request)[0])] != example.answer
        assert all(shot.media for shot in request.shots)
    told = some.requests(TWO, "oracle", whole)[0]
    assert told.question == f"Picture: {some.queries[0][1][0].answer}\ue00aQuestion: What is this?"


def test_near_shots_are_near_to_what_is_seen(asker, data):
    some = asker(shot_choice="nearest")
    of = {id(one.media["image"][0]): one for one in data.examples}
    for control in (None, "shuffled"):
        for request in some.requests(TWO, control, everything(some)):
            seen = some.keys[of[id(media_of(request)[0])].row]
            for shot in request.shots:
                one = of[id(shot.media["image"][0])]
                pool = next(
                    pool for episode in some.episodes for pool in episode.pools if one in pool
                )  # every pool of a class, but for the query, holds the same rows
                assert one.answer == pool[0].answer
                assert seen @ some.keys[one.row] >= np.median([seen @ some.keys[x.row] for x in pool])
    lot = [asker(shot_choice=how).requests(TWO, "blind", everything(some)) for how in ("random", "nearest")]
    assert lot[0] == lot[1]  # nothing is seen, so nothing is near


def test_the_nearest_shot_mean_is_that_of_the_shots_shown(asker):
    some = asker()
    assert nearest_mean_right(some, Setting(2, 2)) == (1.0,) * 8
    wrong = [replace(one, names=one.names[::-1]) for one in some.episodes]
    assert sum(nearest_mean_right(asker(episodes=wrong), Setting(2, 2))) == 0


def test_what_the_core_reads(agent, asker):
    [episode, *_] = asker().episodes
    first, second = [name for _, name in episode.shots(TWO)]
    body = "".join(
        f"Picture:<image: 26 tokens>\nQuestion: What is this?\nAnswer: {name}\n\n" for name in (first, second)
    )
    query = "Picture:<image: 26 tokens>\nQuestion: What is this?\nAnswer:"
    plain = asker(agent).prompts(TWO)
    assert (plain.example, plain.target) == (body + query, episode.queries[0][1])
    sentence = f"Answer with {first} or {second}.\n\n"
    assert asker(agent, induction=True).prompts(TWO).example == sentence + body + query
    assert len(set(plain.hashes)) == len(plain.hashes) == 8
    assert set(plain.in_context) == {2}


def test_three_answers_are_listed(agent, asker, data):
    episodes = sample_episodes(data.examples, 3, 1, most_shots=1)
    told = asker(agent, induction=True, episodes=episodes).prompts(Setting(3, 1)).example
    one, two, three = [name for _, name in episodes[0].shots(Setting(3, 1))]
    assert told.startswith(f"Answer with {one}, {two} or {three}.\n\nPicture:")
    some = asker(agent, induction=True, episodes=episodes)
    request = some.requests(Setting(3, 1), "oracle", range(1))[0]
    words = agent.read(request, prompt=some._options(Setting(3, 1), "oracle")["prompt"]).prompt
    assert len(words) == 1
    assert "\n\nPicture: " in str(words[0])
    assert str(words[0]).endswith("\nQuestion: What is this?\nAnswer:")


def test_the_same_seed_gives_the_same_numbers_to_the_last_digit(data, tmp_path):
    found = [
        evaluate_episodes(Agent.load("tiny"), data, parse_settings("ways=2,shots=1,2"), count=4, seed=3)
        for _ in range(2)
    ]
    assert as_text(found[0].report) == as_text(found[1].report)
    pages = [write_episodes(one, tmp_path / str(at)) for at, one in enumerate(found)]
    written = [(page.parent / "answers.jsonl").read_bytes() for page in pages]
    assert written[0] == written[1]
    assert written[0].count(b"\n") == 2 * 2 * 4 * 2  # settings, memory, episodes, ways
    assert (pages[0].parent / "episodes.png").stat().st_size > 5000


def test_shots_are_read_once_and_answers_are_those_of_reading_them_every_time(data, monkeypatch):
    from mmagent.core import prefill
    from mmagent.core.cache import Match

    read: list[int] = []
    run = prefill._run

    def counted(core: Any, inputs: Any, begin: int, past: Any) -> Any:
        read.append(inputs.embeds[:, begin:].shape[0] * inputs.embeds[:, begin:].shape[1])
        return run(core, inputs, begin, past)

    monkeypatch.setattr(prefill, "_run", counted)

    def evaluated() -> tuple[Any, int]:
        read.clear()
        found = evaluate_episodes(
            Agent.load("tiny"),
            data,
            parse_settings("ways=2,shots=1,3,queries=2"),
            count=2,
            controls=("shuffled",),
        )
        return found, sum(read)

    cached, few = evaluated()
    monkeypatch.setattr(
        prefill, "_known", lambda core, inputs, cache, shared: [Match(0, [])] * len(inputs.keys)
    )
    monkeypatch.setattr(prefill, "_store", lambda *arguments: None)
    uncached, many = evaluated()
    assert few < many / 2.5
    assert as_text(cached.report) == as_text(uncached.report)
    for one, other in zip(cached.runs, uncached.runs, strict=True):
        assert [row.got for row in one.answers] == [row.got for row in other.answers]


def test_the_table_is_made_of_the_answers(agent, data):
    found = evaluate_episodes(
        agent, data, parse_settings("ways=2,shots=2"), count=6, controls=("blind",), memory=(True,), seed=2
    )
    [run], [row] = found.runs, found.report["rows"]
    correct = [float(one.got == one.wanted[0]) for one in run.answers]
    assert row["score"]["value"] == pytest.approx(np.mean(correct))
    assert (row["score"]["n"], row["answers"], row["episodes"]) == (6, 12, 6)
    assert row["nearest"]["value"] == row["any_name"]["value"] == 1.0
    assert row["score"]["value"] == 1.0  # the shot memory tells three colours apart
    assert row["chance"] == 0.5
    assert [len(one) for one in row["prompts_sha256"]] == [2] * 6
    assert row["prompt"].count("<image: 26 tokens>") == 5
    assert "character for character" in found.report["scorer"]
    assert found.lines[:2] == [
        "tiny does not beat the nearest shot mean on the same features: level with it, as far as can be told "
        "from chance, in the only row.",
        "tiny beats its blind control in every row.",
    ]
    warned = replace(found, warnings=("it was trained on these.",))
    assert warned.lines[:2] == [found.lines[0], "it was trained on these."]


def test_shots_that_do_not_fit_are_told(tiny_bundle, data):
    agent = Agent.load(tiny_bundle)  # it reads 512 tokens
    settings = parse_settings("ways=2,shots=1,3,repeats=0,9")
    found = evaluate_episodes(agent, data, settings, count=2, controls=())
    rows = [(row["setting"], row["memory"]) for row in found.report["rows"]]
    assert ("2-way 3-shot, 9 repeats", False) not in rows
    assert ("2-way 3-shot, 9 repeats", True) in rows
    assert ("2-way 3-shot", False) in rows
    told = [note for note in found.notes if "2-way 3-shot, 9 repeats, context alone is left out" in note]
    assert "of the 60 shots fit into every prompt (the core reads 512 tokens)" in told[0]
    with pytest.raises(UserError, match="no setting can be asked"):
        evaluate_episodes(agent, data, settings[-1:], count=2, memory=(False,))


def test_data_without_classes_are_refused(agent, data):
    questions = [replace(one, question=f"Which {at}?") for at, one in enumerate(data.examples)]
    other = replace(data, kind="answer", examples=tuple(questions))
    with pytest.raises(UserError, match="episodes bind names to classes"):
        evaluate_episodes(agent, other, [TWO], count=2)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"names": "invneted"}, "Did you mean 'invented'"),
        ({"controls": ["blnd"]}, "no control 'blnd'"),
        ({"shot_choice": "best"}, "not chosen 'best'"),
        ({"count": 1}, "1 episodes have no interval"),
        ({"settings": []}, "no setting"),
    ],
)
def test_what_means_nothing_is_refused_at_once(data, more, words):
    given = {"settings": [TWO], **more}
    with pytest.raises(UserError, match=words):
        evaluate_episodes(None, data, **given)  # type: ignore[arg-type]
