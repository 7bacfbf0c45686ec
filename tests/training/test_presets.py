"""Every preset that is shipped loads, differs from the defaults, and is found by its name."""

from __future__ import annotations

import pytest

from mmagent.errors import UserError
from mmagent.plugins import load_plugins
from mmagent.training.preset import find_preset
from mmagent.training.settings import AUTO, TrainSettings, from_toml

PRESETS = load_plugins().presets


def test_the_usual_cases_are_there() -> None:
    assert {"quick", "careful", "few-shot", "low-memory"} <= PRESETS.keys()


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_loads_over_the_defaults_and_under_a_file(name: str, tmp_path) -> None:
    settings = from_toml(find_preset(name, PRESETS))
    assert settings != TrainSettings()
    own = tmp_path / "own.toml"
    own.write_text("seed = 7\n")
    assert from_toml(own, settings) == settings.changed({"seed": 7})


def test_an_unknown_preset_names_those_there_are() -> None:
    with pytest.raises(
        UserError, match=r"no preset called 'quik'. There are: .*quick.* Did you mean 'quick'\?"
    ):
        find_preset("quik", PRESETS)


def test_a_batch_size_may_be_a_word(tmp_path) -> None:
    file = tmp_path / "auto.toml"
    file.write_text('batch_size = "auto"\n')
    assert from_toml(file).batch_size == TrainSettings().changed({"batch_size": "auto"}).batch_size == AUTO
    file.write_text('batch_size = "many"\n')
    with pytest.raises(UserError, match="batch_size is 'many'"):
        from_toml(file)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('epochs = "x"', "epochs is 'x'; it must be a number."),
        ("patience = 1.5", "patience is 1.5; it must be a whole number."),
        ("keep = 1", "keep is 1; it must be true or false."),
        ("adapter = 3", "adapter is 3; it must be text."),
        ('batch_size = "x"', "batch_size is 'x'; it must be a whole number or auto."),
        ("seed = -1", "seed is -1; it must be 0 or more, and of at most 63 bits."),
    ],
)
def test_a_setting_that_is_none_says_what_it_must_be(tmp_path, line: str, said: str) -> None:
    file = tmp_path / "own.toml"
    file.write_text(line)
    with pytest.raises(UserError) as caught:
        from_toml(file)
    assert str(caught.value) == f"{file}: {said}"
