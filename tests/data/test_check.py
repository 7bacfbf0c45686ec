"""A check tells how data were understood and all that is wrong with them, and shows the true prompts."""

from __future__ import annotations

import json
import shutil
import threading
import time
from types import SimpleNamespace

import pytest

from mmagent.agent import Agent
from mmagent.data import check, read_labelled
from mmagent.data.media import look
from mmagent.errors import UserError


@pytest.fixture(scope="module")
def agent(tiny_bundle):
    return Agent.load(tiny_bundle)


def whats(report):
    return [str(problem) for problem in report.problems]


def test_sound_data_are_told_as_they_are(place, rows, lines, read, plugins):
    file = lines([{"id": at, **row} for at, row in enumerate(rows)])
    report = check(read(file), plugins, estimate=lambda labelled: {"memory": f"{len(labelled)} MB"})
    assert report.clean
    assert report.columns == {"image": "image", "answer": "label", "split": "split"}
    assert report.unused == ("id",)
    assert report.splits == {"train": 9, "validation": 3}
    assert report.labels["train"] == {"red": 3, "green": 3, "blue": 3}
    assert report.media == 12
    assert (report.warnings, report.prompts) == ((), None)
    text = report.text()
    for words in (
        "rows.jsonl: json lines, 12 rows",
        "(nothing)",
        "train  validation",
        "opened",
        "memory: 12 MB",
    ):
        assert words in text
    assert json.loads(json.dumps(report.as_json()))["labels"]["validation"]["blue"] == 1


def test_every_file_is_opened_unless_in_haste(place, rows, read, plugins, lines):
    broken = place / rows[4]["image"]
    broken.write_bytes(broken.read_bytes()[:40])
    (place / rows[9]["image"]).write_text("Dear Sir or Madam,\n")
    labelled, seen = read(lines(rows)), []
    report = check(labelled, plugins, progress=lambda done, total: seen.append((done, total)))
    assert [problem.row for problem in report.problems] == [5, 10]
    assert str(broken) in report.problems[0].what
    assert "is not a picture" in report.problems[1].what
    assert (report.rows, report.left_out) == (10, 2)
    assert (report.media, report.broken) == (12, 2)
    assert seen == [(at, 12) for at in range(1, 13)]
    assert check(labelled, plugins, quick=True).clean


def test_every_figure_counts_the_rows_to_learn_from(place, rows, lines, read, plugins):
    (place / rows[4]["image"]).write_bytes(b"no picture")
    gone = {**rows[0], "image": "gone.png"}
    report = check(read(lines([*rows, gone])), plugins, estimate=lambda given: {"rows": str(len(given))})
    assert (report.rows, report.left_out) == (11, 2)
    assert sum(report.splits.values()) == sum(sum(of.values()) for of in report.labels.values()) == 11
    assert (report.having, report.estimate) == ({"image": 11}, {"rows": "11"})
    text = report.text()
    assert "11 rows to learn from, 2 left out" in text
    assert "12 different media, opened, 1 cannot be read" in text


def test_a_picture_in_two_splits_is_a_leak_whatever_its_format(place, rows, lines, read, plugins):
    from PIL import Image

    with Image.open(place / rows[0]["image"]) as picture:
        picture.save(place / "copy.bmp")  # the same pixels in other bytes
    leaking = [*rows, {"image": "copy.bmp", "label": rows[0]["label"], "split": "test"}]
    report = check(read(lines(leaking)), plugins)
    leaks = [one for one in whats(report) if "stand in train too" in one]
    assert leaks == ["line 13 in test: its media and question stand in train too (line 1)."]
    asked = [{**row, "question": "which?" if at == 12 else "what?"} for at, row in enumerate(leaking)]
    assert not [one for one in whats(check(read(lines(asked)), plugins)) if "stand in" in one]


def test_the_same_path_in_two_splits_is_a_leak_without_opening_it(rows, lines, read, plugins):
    leaking = [*rows, {**rows[0], "split": "val"}]
    assert "stand in train too" in " ".join(whats(check(read(lines(leaking)), plugins, quick=True)))


def test_other_answers_to_the_same_are_a_warning(place, rows, lines, read, plugins):
    shutil.copy(place / rows[0]["image"], place / "again.png")
    twice = [*rows, {**rows[0], "image": "again.png", "label": "green"}, rows[1]]
    report = check(read(lines(twice)), plugins)
    assert report.clean
    contradiction, copies = report.warnings
    assert "'blue' (line 1), 'green' (line 13)" in contradiction
    assert copies == "1 rows are copies of another row in their split; they count double."
    captions = [{"image": rows[0]["image"], "caption": f"caption {at}"} for at in range(5)]
    assert check(read(lines(captions)), plugins).warnings == ()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda rows: [{**row, "label": "red"} for row in rows],
            "every row is 'red': with one class there is nothing to tell apart.",
        ),
        (
            lambda rows: [row for row in rows if (row["split"], row["label"]) != ("val", "red")],
            "the split validation has no row of 1 of 3 classes: red.",
        ),
        (
            lambda rows: [row for row in rows if (row["split"], row["label"]) != ("train", "red")],
            "the split train has no row of 1 of 3 classes: red.",
        ),
        (
            lambda rows: [*rows, {"image": "no.png", "label": "red", "split": "test"}],
            "the split test is empty.",
        ),
        (
            lambda rows: [{**row, "split": row["split"].replace("train", "trian")} for row in rows],
            "there is no split train. There are: validation, trian. Did you mean 'trian'?",
        ),
    ],
    ids=["one class", "class missing in validation", "class missing in train", "empty split", "no train"],
)
def test_splits_and_classes_that_training_refuses(rows, lines, read, plugins, change, says):
    report = check(read(lines(change(rows))), plugins)
    assert says in whats(report)


def test_an_empty_folder_of_a_split_is_an_empty_split(place, read, plugins):
    shutil.rmtree(place / "val")
    (place / "val").mkdir()
    assert whats(check(read(place), plugins)) == ["the split validation is empty."]


def test_open_answers_are_no_classes(rows, lines, read, plugins):
    asked = [
        {"image": row["image"], "question": f"{at}?", "answer": "yes" if at else "no", "split": row["split"]}
        for at, row in enumerate(rows)
    ]
    assert check(read(lines(asked)), plugins).clean


def test_classes_of_very_different_sizes(place, rows, lines, read, plugins):
    many = []
    for at in range(30):
        shutil.copy(place / rows[0]["image"], place / f"{at}.png")
        many.append({"image": f"{at}.png", "label": "blue", "split": "train"})
    report = check(read(lines([*rows, *many])), plugins, quick=True)
    assert "'blue' has 33 rows to train on and" in report.warnings[0]


@pytest.mark.parametrize(
    "row",
    [
        {"label": "a frog"},
        {"caption": "a frog"},
        {"question": "What do you see?", "answer": "a frog"},
        {"question": "Which?", "answer": "a frog", "choices": ["a frog", "a cup"]},
    ],
    ids=["label", "caption", "question", "choices"],
)
def test_prompts_are_the_very_ones_that_are_asked(row, rows, lines, read, plugins, agent, monkeypatch):
    labelled = read(lines([{"image": one["image"], **row} for one in rows]))
    report = check(labelled, plugins, agent=agent)
    asked = []
    answer = agent._decoder.answer

    def spy(jobs, *more):
        asked.extend(job.composed for job in jobs)
        return answer(jobs, *more)

    monkeypatch.setattr(agent._decoder, "answer", spy)
    agent.ask_many([example.request() for example in labelled.examples[:3]], max_tokens=1)
    asked_texts = [
        "".join(part if isinstance(part, str) else "<image: 2 tokens>" for part in one.prompt)
        for one in asked
    ]
    assert [one.prompt for one in report.prompts.shown] == asked_texts
    assert {one.answer for one in report.prompts.shown} == {"a frog"}
    tokens = agent.core.tokens
    assert report.prompts.longest == asked[0].length + len(tokens.follow(" a frog", before=":")) + 1
    assert f"line 1, as the core of {agent.bundle.name} reads it:" in report.text()
    assert f"longest prompt of {agent.bundle.name} with its answer: " in report.text()


def test_the_longest_prompt_is_found_and_one_too_long_is_refused(rows, lines, read, plugins, agent):
    asked = [{"image": row["image"], "question": "what? " * at, "answer": "x"} for at, row in enumerate(rows)]
    report = check(read(lines(asked)), plugins, agent=agent)
    assert (report.prompts.row, report.prompts.room) == (12, 512)
    assert report.clean
    asked[3]["question"] = "what? " * 300
    report = check(read(lines(asked)), plugins, agent=agent)
    assert [problem.row for problem in report.problems] == [4]
    assert "tokens, and the core reads 512." in report.problems[0].what
    assert report.prompts.where == "line 4"  # as the problem names it
    assert str(report.problems[0]).startswith("line 4: ")


def test_a_bundle_that_makes_no_prefix_shows_no_prompts_and_says_why(
    rows, lines, read, plugins, agent, monkeypatch
):
    def refuse(modality, source):
        raise UserError(f"bundle 'x' has no sense for {modality!r}.")

    monkeypatch.setattr(agent, "prefix", refuse)
    report = check(read(lines(rows)), plugins, agent=agent)
    assert report.clean
    assert report.prompts is None
    assert "no prompts are shown: bundle 'x' has no sense for 'image'." in report.notes


def test_media_are_opened_by_several_threads_and_told_in_the_order_of_the_rows(monkeypatch, modalities):
    """Every thread has a reader of its own, and the first media are the slowest."""
    readers, threads = [], set()

    class Slow:
        def __init__(self):
            readers.append(self)

        def load(self, source):
            threads.add(threading.get_ident())
            time.sleep(0.02 if source[0] < 4 else 0.001)
            if source[0] % 3 == 0:
                raise UserError(f"{source[0]} is damaged")
            return source[0]

        def fingerprint(self, raw):
            return str(raw)

    monkeypatch.setattr("os.cpu_count", lambda: 4)
    rows = [{"image": bytes([at]), "label": "ab"[at % 2]} for at in range(30)]
    labelled = read_labelled(rows, modalities)
    told = []
    fake = SimpleNamespace(modalities={"image": SimpleNamespace(reader="")}, resolve=lambda _: Slow)
    seen = look(labelled, fake, progress=lambda done, total: told.append((done, total)))
    assert [problem.row for problem in seen.problems] == [at + 1 for at in range(30) if at % 3 == 0]
    assert [str(problem) for problem in seen.problems][1] == "row 4: 3 is damaged"
    assert told == [(at + 1, 30) for at in range(30)]
    assert 1 < len(threads) == len(readers) <= 4


def test_groups_on_both_sides_of_the_data_s_own_split_are_told(rows, lines, read, plugins):
    parts = ["train", "train", "test"]
    given = [{**row, "split": parts[at % 3], "speaker": "abc"[at % 2]} for at, row in enumerate(rows)]
    report = check(read(lines(given)), plugins)
    [warning] = [one for one in report.warnings if "groups" in one]
    assert "of the split test (column 'speaker') stand in train too" in warning
    assert check(
        read(lines([{**row, "speaker": str(at)} for at, row in enumerate(given)])), plugins
    ).warnings == tuple(one for one in report.warnings if one != warning)
