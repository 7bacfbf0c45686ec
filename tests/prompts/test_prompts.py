"""The prompts a user's question becomes, to the letter, and what a wrong template says."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmagent.errors import UserError
from mmagent.prompts import PromptShot, Rendered, render, template_names, with_article

DAX = PromptShot("what is this?", "dax", [("image", "{A}")])


def joined(rendered: Rendered[str]) -> str:
    return "".join(rendered.parts)


def mine(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.jinja"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("caption", "Picture:{Q}\nCaption:"),
        ("vqa", "Picture:{Q}\nQuestion: what is this?\nAnswer:"),
        ("fewshot", "Picture:{Q}\nQuestion: what is this?\nAnswer:"),
        ("naming", "Picture:{Q}\nThis is"),
        ("choices", "Picture:{Q}\nQuestion: what is this?\nChoices: red, blue\nAnswer:"),
    ],
)
def test_each_template_to_the_letter(template: str, expected: str) -> None:
    made = render(template, question=" what is this? ", media=[("image", "{Q}")], choices=["red", "blue"])
    assert joined(made) == expected
    assert made.stop == ("\n",)


@pytest.mark.parametrize(
    ("template", "block", "query"),
    [
        (
            "fewshot",
            "Picture:{A}\nQuestion: what is this?\nAnswer: dax\n\n",
            "Question: what is this?\nAnswer:",
        ),
        ("naming", "Picture:{A}\nThis is a dax.\n\n", "This is"),
        ("caption", "Picture:{A}\nCaption: dax\n\n", "Caption:"),
    ],
)
def test_shots_stand_before_the_question(template: str, block: str, query: str) -> None:
    made = render(template, question="what is this?", media=[("image", "{Q}")], shots=[DAX, DAX])
    assert joined(made) == f"{block}{block}Picture:{{Q}}\n{query}"


def test_a_shot_is_written_as_the_template_writes_its_answer() -> None:
    naming = render("naming", media=[("image", "{Q}")])
    assert (naming.write_answer("dax"), naming.drop) == ("a dax.", ".")
    vqa = render("vqa", question="what?", media=[("image", "{Q}")])
    assert (vqa.write_answer("dax"), vqa.drop) == ("dax", "")


@pytest.mark.parametrize(
    ("name", "expected"), [("dax", "a dax"), ("emu", "an emu"), ("the sea", "the sea"), ("a cup", "a cup")]
)
def test_articles(name: str, expected: str) -> None:
    assert with_article(name) == expected


def test_several_pictures_and_other_senses_have_a_line_each() -> None:
    media = [("image", "{1}"), ("image", "{2}"), ("audio", "{3}")]
    text = "Picture:{1}\nPicture:{2}\nAudio:{3}\nQuestion: same?\nAnswer:"
    assert joined(render("vqa", question="same?", media=media)) == text


def test_without_media_only_the_question_is_left() -> None:
    made: Rendered[str] = render("vqa", question="can a frog fly?")
    assert made.parts == ["Question: can a frog fly?\nAnswer:"]


def test_media_come_back_as_the_very_objects_given() -> None:
    picture = object()
    parts = render("vqa", question="what?", media=[("image", picture)]).parts
    assert parts == ["Picture:", picture, "\nQuestion: what?\nAnswer:"]
    assert parts[1] is picture


def test_a_question_is_text_and_never_a_template() -> None:
    question = "what is {{ 7 * 7 }} {% raw %} \ue0000:0\ue001 <b>?"
    made: Rendered[str] = render("vqa", question=question)
    assert made.parts == [f"Question: {question}\nAnswer:"]


@pytest.mark.parametrize(
    "text",
    [
        "{{ image }} {{ quesion }}",
        "{{ image }}{% if false %}{{ quesion }}{% endif %}",  # a branch that this question does not take
        "{{ image }}{% for s in shots %}{{ quesion }}{% endfor %}",
    ],
)
def test_a_misspelt_variable_is_named_with_what_there_is(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError) as caught:
        render(mine(tmp_path, text), question="what?", media=[("image", "{Q}")])
    message = str(caught.value)
    assert "'quesion'" in message
    assert "choices, media, question, shots, image" in message
    assert "Did you mean 'question'?" in message


def test_a_misspelt_attribute_is_named_with_what_there_is(tmp_path: Path) -> None:
    path = mine(tmp_path, "{% for s in shots %}{{ s.media }}{{ s.anwser }}{% endfor %}{{ image }}")
    with pytest.raises(UserError, match=r"a shot has no 'anwser'. There are: answer, media, question"):
        render(path, media=[("image", "{Q}")], shots=[DAX])


def test_a_users_own_template(tmp_path: Path) -> None:
    path = mine(
        tmp_path,
        '{% set stop = ["!", "?"] %}{% macro answer(text) %}<{{ text }}>{% endmacro %}'
        "{% for s in shots %}{{ s.media }} {{ answer(s.answer) }} {% endfor %}See {{ image }}: "
        "{{ question }}\n",
    )
    made = render(path, question="what?", media=[("image", "{Q}")], shots=[DAX])
    assert joined(made) == "{A} <dax> See {Q}: what?"
    assert made.stop == ("!", "?")
    assert made.write_answer("dax") == "<dax>"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{{ question", "line 1: "),
        ("a\n{% for %}", "line 2: "),
        ("{{ question }}", "leaves out the image"),
        ("{# nothing #}", "empty prompt"),
        ("{{ question.__class__ }}{{ image }}", "unsafe"),
        ("{% include '/etc/hostname' %}{{ image }}", "/etc/hostname"),
        ("{{ question / 2 }}{{ image }}", "cannot be rendered"),
        ("{{ image[5] }}", "input 5 of a modality is not there; 1 came"),
        ("{% include 'nope.jinja' %}{{ image }}", "includes nope.jinja. What can be included: caption.jinja"),
        ("{{ question | foo }}{{ image }}", "No filter named 'foo'."),
    ],
)
def test_a_wrong_template_says_so_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        render(mine(tmp_path, text), question="what?", media=[("image", "{Q}")])
    assert says in str(caught.value)
    assert "mine.jinja" in str(caught.value)
    assert ".." not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_template_says_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"caption, choices, fewshot, naming, vqa; .* Did you mean 'naming'\?"
    ):
        render("nameing", question="what?")
    with pytest.raises(UserError, match="directory"):
        render(tmp_path, question="what?")
    (tmp_path / "binary.jinja").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="UTF-8"):
        render(tmp_path / "binary.jinja", question="what?")


def test_the_chat_template_goes_around_the_whole_prompt() -> None:
    made = render(
        "vqa", question="what?", media=[("image", "{Q}")], wrap=lambda text: f"<user>{text}</user>\n"
    )
    assert joined(made) == "<user>Picture:{Q}\nQuestion: what?\nAnswer:</user>\n"


def test_every_template_that_comes_along_is_listed() -> None:
    assert template_names() == ["caption", "choices", "fewshot", "naming", "vqa"]
