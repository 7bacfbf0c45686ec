"""Files are recognised by content, told and drawn, and their cost is what the adapter really takes."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from mmagent import Agent, UserError
from mmagent.inspection import inspect_file, modality_of
from mmagent.inspection.shown import number, text
from mmagent.modality import Modality
from mmagent.plugins import load_plugins
from mmagent.profile import Profile


class PlainReader:
    """A reader without a profile, of what starts with MEL."""

    def load(self, source):
        with open(source, "rb") as stream:
            return stream.read()

    def describe(self, raw):
        return f"melody, {len(raw)} bytes"

    def fingerprint(self, raw):
        return raw.hex()


@pytest.fixture
def plugins(monkeypatch):
    """What is installed, with a modality that reads what starts with MEL."""
    monkeypatch.setitem(sys.modules, "melodies", SimpleNamespace(Reader=PlainReader))
    found = load_plugins()
    found.modalities["melody"] = Modality(
        "melody", "a melody", "melodies:Reader", (".mel",), lambda head: head.startswith(b"MEL")
    )
    return found


@pytest.fixture
def melody(tmp_path):
    file = tmp_path / "a.mel"
    file.write_bytes(b"MELODY")
    return file


def refused(*arguments, **more):
    with pytest.raises(UserError) as caught:
        inspect_file(*arguments, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_cost_is_what_a_prompt_really_takes(tiny_bundle, pictures):
    cost = inspect_file(pictures / "red.png", bundle=tiny_bundle).cost
    agent = Agent.load(tiny_bundle)
    with_one = agent.ask("what?", image=pictures / "red.png", max_tokens=1).prompt_tokens
    with_two = agent.ask("what?", image=[pictures / "red.png", pictures / "blue.png"], max_tokens=1)
    words = with_two.prompt_tokens - with_one - cost.soft_tokens  # of the second picture's name
    assert cost.soft_tokens == 2
    assert cost.context == agent.core.max_positions == 512
    assert cost.share == 2 / 512
    assert 0 < words < 20


def test_the_cost_is_known_where_the_settings_do_not_tell_it(pictures):
    cost = inspect_file(pictures / "red.png", bundle="tiny").cost
    agent = Agent.load("tiny")
    percept = agent._senses.perceive("image", [pictures / "red.png"])[0]
    assert cost.soft_tokens == len(percept.soft.embeds)


def test_a_reader_without_a_profile_is_told_by_its_line(melody, plugins, tiny_bundle):
    found = inspect_file(melody, bundle=tiny_bundle, plugins=plugins)
    assert (found.modality, found.profile, found.bytes) == ("melody", None, 6)
    assert found.as_json()["fingerprint"] == b"MELODY".hex()
    told = text(found)
    assert "a.mel: melody, 6 bytes" in told
    assert "it has no sense for melody (it has: image)" in told


def test_what_nobody_recognises_is_told_with_what_there_is(tmp_path):
    file = tmp_path / "x.png"
    file.write_bytes(b"%PDF-1.7 and more")
    told = refused(file)
    assert "it starts like a PDF" in told
    assert "image (.jpg" in told
    assert "--modality" in told


def test_of_several_modalities_the_suffix_decides_or_the_user(melody, plugins, tmp_path):
    other = Modality("tune", "a tune", "melodies:Reader", (".tun",), lambda head: head.startswith(b"ME"))
    plugins.modalities["tune"] = other
    assert modality_of(melody, plugins.modalities) == "melody"
    unnamed = tmp_path / "unnamed"
    unnamed.write_bytes(b"MELODY")
    told = refused(unnamed, plugins=plugins)
    assert "can be read as melody or tune" in told
    assert "--modality tune" in told
    assert inspect_file(unnamed, modality="tune", bundle=None, plugins=plugins).modality == "tune"


def test_mistakes_are_told_in_one_line(tmp_path, pictures):
    assert "Did you mean 'image'?" in refused(pictures / "red.png", modality="imag")
    assert "is a directory" in refused(tmp_path)
    assert "there is no file" in refused(tmp_path / "no.png")
    (tmp_path / "none.png").touch()
    assert "is empty" in refused(tmp_path / "none.png")
    assert "no bundle called 'tny'" in refused(pictures / "red.png", bundle="tny")


def test_a_sense_that_only_remembers_costs_nothing(pictures, tiny_bundle, monkeypatch):
    from mmagent.bundle import Bundle
    from mmagent.inspection import token_cost

    opened = Bundle.open(tiny_bundle)
    sense = replace(opened.senses["image"], adapter=None)
    cost = token_cost(replace(opened, senses={"image": sense}), "image", load_plugins())
    assert (cost.soft_tokens, cost.share) == (0, 0)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.123456, "0.1235"),
        (1234.5, "1,234"),
        (8000.0, "8,000"),
        (123456.7, "123,457"),
        (0.00001234, "1.234e-05"),
        (0.0, "0"),
        (-2.5, "-2.5"),
        (12345, "12,345"),
        (True, "yes"),
        (None, "–"),
        (float("nan"), "–"),
        ("a\x1b[31mred\n", "a [31mred"),
    ],
)
def test_numbers_have_sensible_digits_and_words_are_harmless(value, shown):
    assert number(value) == shown


def test_values_stand_in_one_column(pictures, tiny_bundle):
    lines = text(inspect_file(pictures / "red.png", bundle=tiny_bundle)).splitlines()
    rows = [line for line in lines if line.startswith("  ")]
    column = next(line for line in rows if line.startswith("  width")).rindex("48")
    assert len(rows) > 20
    assert {line[column - 2 : column] for line in rows} == {"  "}
    assert all(line[column] != " " for line in rows)


@pytest.mark.parametrize(
    ("name", "content", "modality"),
    [
        ("a.mel", b"no sign of a melody", "melody"),
        ("a.edges", b"a b 0.5\nb c 0.7\n", "graph"),
        ("a.edgelist", b'1 2 {"weight": 3}\n2 3 {}\n', "graph"),
    ],
)
def test_where_no_content_tells_the_suffix_does(tmp_path, plugins, name, content, modality):
    (tmp_path / name).write_bytes(content)
    assert modality_of(tmp_path / name, plugins.modalities) == modality


def test_where_several_have_the_suffix_they_are_told(tmp_path, plugins):
    (tmp_path / "a.csv").write_text("1,2\n3,4\n")
    told = refused(tmp_path / "a.csv", plugins=plugins)
    assert "can be read as series or table. Choose with --modality series or --modality table." in told


def test_a_part_of_a_file_is_looked_at_by_its_number(tmp_path):
    file = tmp_path / "two.ts"
    file.write_text("@univariate true\n@classLabel false\n@data\n1,2,3\n4,5\n")
    assert "two.ts#1 is the first" in refused(file)
    found = inspect_file(f"{file}#2", bundle=None)
    assert (found.modality, found.bytes) == ("series", file.stat().st_size)
    assert found.description.startswith("series, 2 samples")
    assert "there is no file" in refused(f"{tmp_path / 'three.ts'}#1")
    odd = tmp_path / "two.ts#1"  # a file of this very name is meant
    odd.write_text("@data\n1,2,3,4\n")
    assert inspect_file(odd, bundle=None, modality="series").description.startswith("series, 4 samples")


def test_a_long_name_stands_above_its_value(melody, plugins):
    found = inspect_file(melody, bundle=None, plugins=plugins)
    long = "a name that is longer than the column of names may be wide"
    told = Profile("melody", {"structure": {long: 0.5, "short": 1}})
    lines = text(replace(found, profile=told)).splitlines()
    at = lines.index(f"  {long}")
    assert lines[at + 1].rindex("0.5") == lines[at + 2].rindex("1")
    assert lines[at + 1].strip() == "0.5"
