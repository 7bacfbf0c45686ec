"""Columns are known by name, by usual other names, or because the user says so; nothing is guessed."""

from __future__ import annotations

import json

import pytest

from mmagent.data.columns import map_columns
from mmagent.errors import UserError


@pytest.mark.parametrize(
    ("fields", "given", "expected"),
    [
        (["image", "answer"], {}, {"image": "image", "answer": "answer"}),
        (["img_path", "label"], {}, {"image": "img_path", "answer": "label"}),
        (["file_name", "text"], {}, {"image": "file_name", "answer": "text"}),
        (["Image Path", "Caption"], {}, {"image": "Image Path", "answer": "Caption"}),
        (
            ["image", "id", "prompt", "answer"],
            {},
            {"image": "image", "question": "prompt", "answer": "answer"},
        ),
        (
            ["image", "prompt", "question", "label"],
            {},
            {"image": "image", "question": "question", "answer": "label"},
        ),
        (
            ["image", "q", "multiple_choice_answer", "answers"],
            {"question": "q"},
            {"image": "image", "question": "q", "answer": "multiple_choice_answer", "answers": "answers"},
        ),
        (["image", "label", "text"], {"caption": "text"}, {"image": "image", "answer": "text"}),
        (["a", "b", "label"], {"image": "a", "answer": "b"}, {"image": "a", "answer": "b"}),
        (
            ["image", "label", "valid"],
            {"split": "valid"},
            {"image": "image", "answer": "label", "split": "valid"},
        ),
    ],
)
def test_what_stands_for_what(fields, given, expected):
    assert map_columns(fields, ["image"], "x.csv", given=given).by_role() == expected


@pytest.mark.parametrize(
    ("fields", "given", "says"),
    [
        (["image", "lable"], {}, ["x.csv has no column of answers", "image, lable", "Did you mean 'label'?"]),
        (["imgae", "label"], {}, ["x.csv has no column of media", "imgae, label", "Did you mean 'image'?"]),
        (["image", "label", "caption"], {}, ["'label' and 'caption'", "--column label=label"]),
        (
            ["image", "prompt", "instruction", "answer"],
            {},
            ["prompt, instruction", "--column question=prompt"],
        ),
        (
            ["image", "path", "file", "x"],
            {"question": "promt"},
            ["no column 'promt'", "image, path, file, x"],
        ),
        (["image", "prompt", "answer"], {"question": "promt"}, ["Did you mean 'prompt'?"]),
        (["image", "answer"], {"qestion": "image"}, ["'qestion'", "Did you mean 'question'?"]),
    ],
)
def test_what_is_unclear_is_asked(fields, given, says):
    with pytest.raises(UserError) as caught:
        map_columns(fields, ["image"], "x.csv", given=given)
    for words in says:
        assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_column_of_files_is_of_the_kind_that_its_files_are():
    def kind(column):
        return {"file": "audio"}.get(column)

    mapped = map_columns(["file", "label"], ["image", "audio"], "x.csv", modality_of=kind)
    assert mapped.media == {"audio": "file"}
    with pytest.raises(UserError, match="of which kind its name does not say"):
        map_columns(["path", "label"], ["image", "audio"], "x.csv", modality_of=kind)


def test_what_is_asked_where_there_is_no_question(rows, lines, read):
    labels = lines(rows)
    assert {one.question for one in read(labels)} == {"What is this?"}
    assert {one.question for one in read(labels, question="Which colour?")} == {"Which colour?"}
    captions = lines([{"image": row["image"], "caption": f"a {row['label']} picture"} for row in rows])
    assert {one.question for one in read(captions)} == {None}
    mixed = lines([{**row, "question": "  which?  " if at % 2 else ""} for at, row in enumerate(rows)])
    assert [one.question for one in read(mixed)] == ["What is this?", "which?"] * 6


def test_ten_answers_of_ten_people(place, rows, lines, read):
    ten = ["red"] * 3 + ["crimson"] * 6 + ["pink"]
    image = rows[0]["image"]
    file = lines(
        [
            {"image": image, "question": "what?", "answers": ten},
            {"image": image, "question": "what?", "answers": [{"answer": one, "id": 1} for one in ten]},
            {"image": image, "question": "what?", "answers": ten, "multiple_choice_answer": "red"},
            {"image": image, "question": "what?", "answers": ten, "multiple_choice_answer": "scarlet"},
        ]
    )
    found = [(one.answer, one.answers) for one in read(file)]
    assert found == [
        ("crimson", tuple(ten)),
        ("crimson", tuple(ten)),
        ("red", tuple(ten)),
        ("scarlet", ("scarlet", *ten)),
    ]
    (place / "rows.csv").write_text(
        f'image,answers\n{image},"{json.dumps(ten).replace(chr(34), chr(34) * 2)}"\n'
    )
    assert read(place / "rows.csv").examples[0].answers == tuple(ten)


def test_choices_as_a_list_or_as_text_and_the_answer_as_one_or_its_number(place, rows, lines, read):
    image = rows[0]["image"]
    file = lines(
        [
            {"image": image, "answer": "blue", "choices": ["red", "blue"]},
            {"image": image, "answer": 1, "choices": ["red", "blue"]},
            {"image": image, "answer": "3", "choices": ["2", "3"]},
            {"image": image, "answer": "green", "choices": ["red", "blue"]},
            {"image": image, "answer": "red", "choices": ["red", "red"]},
        ]
    )
    labelled = read(file)
    assert [(one.answer, one.choices) for one in labelled] == [
        ("blue", ("red", "blue")),
        ("blue", ("red", "blue")),
        ("3", ("2", "3")),
    ]
    assert [(one.row, one.what) for one in labelled.problems] == [
        (4, "its answer 'green' is not among its choices (red, blue)."),
        (5, "the choice 'red' is given twice."),
    ]
    (place / "rows.csv").write_text(f'image,answer,choices\n{image},a b,"a b|c, d"\n{image},c,"a,c"\n')
    assert [one.choices for one in read(place / "rows.csv")] == [("a b", "c, d"), ("a", "c")]
