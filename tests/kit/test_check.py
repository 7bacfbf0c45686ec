"""A modality that keeps its promises passes every check; one that breaks a promise fails that check."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from mmagent import conformance
from mmagent.conformance import CHECKS, Outcome, Subject, run_check, subject_of
from mmagent.errors import UserError
from mmagent.modality import CheckedReader, Features
from mmagent.plugins import load_plugins
from mmagent_cli.app import main

CALLS = iter(range(10**6))


@pytest.fixture
def subject(thermal: Path) -> Subject:
    return subject_of("thermal", load_plugins())


def outcome(name: str, subject: Subject) -> Outcome:
    """What comes of the check of this name."""
    return run_check(next(check for check in CHECKS if check.name == name), subject)


def encoding(change: Callable[[Features, list[Any]], Features]) -> tuple[str, Callable[..., Any]]:
    """A fault in the encoder: what it gives is changed."""

    def fault(original: Any) -> Any:
        return lambda self, batch: change(original(self, batch), list(batch))

    return "encoder:encode", fault


def reading(change: Callable[..., Any]) -> Callable[[Any], Any]:
    """A fault in a method of the reader: `change` takes what it gives, and its arguments."""
    return lambda original: lambda self, *given: change(original(self, *given), *given)


def padded(found: Features, _: list[Any]) -> Features:
    """Zeros that stand in the mean: the usual mistake."""
    n = len(found.pooled)
    return Features(found.values, found.mask, found.pooled / n)


def raising(error: type[Exception]) -> Callable[[Any], Any]:
    def fault(original: Any) -> Any:
        def load(self: Any, source: object) -> Any:
            try:
                return original(self, source)
            except UserError as told:
                raise error(str(told)) from told

        return load

    return fault


def saying(text: str) -> Callable[[Any], Any]:
    def fault(original: Any) -> Any:
        def load(self: Any, source: object) -> Any:
            try:
                return original(self, source)
            except UserError as told:
                raise UserError(text) from told

        return load

    return fault


def _no_stream(source: object) -> object:
    if hasattr(source, "read"):
        raise UserError("An open file is not read. Give its path.")
    return source


# Which check fails, what is changed in the plugin and how, and words of the sentence that tells it.
FAULTS = {
    "raises what it likes": (
        "wrong files refused",
        "reader:load",
        raising(ValueError),
        "must raise UserError",
    ),
    "a sentence of one word": ("wrong files refused", "reader:load", saying("wrong"), "whole sentences"),
    "two lines": ("wrong files refused", "reader:load", saying("It is wrong.\nSo."), "must be one line"),
    "does not name the file": (
        "wrong files refused",
        "reader:load",
        saying("It is wrong. Give another."),
        "does not name the file",
    ),
    "broken file, odd error": (
        "broken files refused",
        "reader:load",
        raising(KeyError),
        "must raise UserError",
    ),
    "two lines of description": (
        "described and told apart",
        "reader:describe",
        reading(lambda told, raw: told + "\nmore"),
        "one line",
    ),
    "one fingerprint for all": (
        "described and told apart",
        "reader:fingerprint",
        reading(lambda told, raw: "0" * 64),
        "the same for all",
    ),
    "fingerprint by hash()": (
        "described and told apart",
        "reader:fingerprint",
        reading(lambda told, raw: hex(hash(told))),
        "64 hexadecimal",
    ),
    "another width": (
        "shapes and masks",
        *encoding(lambda f, _: Features(f.values, f.mask, f.pooled[:, :-1])),
        "pooled is",
    ),
    "another dtype": (
        "shapes and masks",
        *encoding(lambda f, _: Features(f.values.double(), f.mask, f.pooled)),
        "not float32",
    ),
    "not a number": (
        "shapes and masks",
        *encoding(lambda f, _: Features(f.values, f.mask, f.pooled / 0)),
        "NaN",
    ),
    "masked, not zero": (
        "shapes and masks",
        *encoding(lambda f, _: Features(f.values + 1, f.mask.clone().fill_(False), f.pooled)),
        "no real feature",
    ),
    "nothing to learn": (
        "shapes and masks",
        *encoding(lambda f, _: Features(f.values, f.mask, torch.ones_like(f.pooled))),
        "nothing can be learnt",
    ),
    "not frozen": (
        "shapes and masks",
        *encoding(lambda f, _: Features(f.values, f.mask, f.pooled.requires_grad_())),
        "not frozen",
    ),
    "depends on the batch": ("batched equals single", *encoding(padded), "differ from those alone"),
    "random": (
        "deterministic",
        *encoding(lambda f, _: Features(f.values, f.mask, f.pooled + next(CALLS))),
        "other features for the same inputs",
    ),
    "16 bits out": (
        "dtypes",
        *encoding(lambda f, _: Features(f.values, f.mask, f.pooled.bfloat16())),
        "not float32",
    ),
    "counts the missing": (
        "invariances",
        *encoding(lambda f, batch: Features(f.values, f.mask, f.pooled + len(batch[0]))),
        "missing values at the end",
    ),
    "reads no stream": (
        "every kind of source",
        "reader:load",
        lambda original: lambda self, source: original(self, _no_stream(source)),
        "is read from its path, and from an open file not",
    ),
    "fingerprint of this process": (
        "same in another process",
        "reader:fingerprint",
        reading(lambda told, raw: told[::-1]),
        "`fingerprint` differs between processes",
    ),
    "features elsewhere": (
        "devices",
        *encoding(lambda f, _: Features(f.values, f.mask, f.pooled.to("meta"))),
        "gives features on meta",
    ),
    "other features in a bundle": (
        "bundle written and read again",
        *encoding(lambda f, _: Features(f.values, f.mask, f.pooled + next(CALLS))),
        "features of a bundle's sense differ",
    ),
    "answers about what is not there": (
        "input missing",
        "reader:load",
        lambda original: lambda self, source: np.ones((5, 5)),
        "is answered as if it were",
    ),
    "varies by chance": (
        "augmentation",
        "reader:vary",
        lambda original: lambda self, raw, seed: raw + next(CALLS),
        "with the same seed gives another value",
    ),
    "a profile of text": (
        "profile",
        "reader:profile",
        lambda original: lambda self, raw: "warm",
        "gives a str, not a mmagent.profile.Profile",
    ),
    "inference mode": (
        "gradient reaches the adapter",
        "encoder:encode",
        lambda original: torch.inference_mode()(original),
        "Inference tensors",
    ),
}


@pytest.fixture
def broken(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Change one method of the plugin."""

    def change(where: str, fault: Callable[[Any], Any]) -> None:
        import mmagent_thermal.encoder
        import mmagent_thermal.reader

        owners = {
            "reader": mmagent_thermal.reader.ThermalReader,
            "encoder": mmagent_thermal.encoder.ThermalEncoder,
        }
        module, _, method = where.partition(":")
        was = getattr(owners[module], method, None)
        monkeypatch.setattr(owners[module], method, fault(was), raising=False)

    return change


@pytest.mark.parametrize("name", FAULTS)
def test_a_broken_promise_is_told(
    name: str, subject: Subject, broken: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    check, where, fault, words = FAULTS[name]
    for other in (torch.cuda, torch.backends.mps):
        monkeypatch.setattr(other, "is_available", lambda: False)
    broken(where, fault)
    found = outcome(check, subject)
    assert found.state == "fail", found
    assert words in found.told


def test_files_that_nobody_recognises_are_told(subject: Subject) -> None:
    object.__setattr__(subject.modality, "sniff", lambda head: False)
    assert "are taken for series or set" in outcome("own files recognised", subject).told
    object.__setattr__(subject.modality, "extensions", ())
    found = outcome("own files recognised", subject)
    assert (found.state, "is not recognised" in found.told) == ("fail", True)


def test_what_fails_in_a_process_of_its_own_is_told(thermal: Path) -> None:
    file = thermal / "mmagent_thermal" / "sensor.py"
    text = file.read_text()
    try:
        file.write_text(text.replace("    whole = _trimmed(raw)", "    raise OSError('the sensor is off')"))
        found = outcome("time and memory", subject_of("thermal", load_plugins()))
    finally:
        file.write_text(text)
    assert (found.state, "the sensor is off" in found.told) == ("fail", True)


def test_every_check_is_shown_to_fail() -> None:
    """Those that no fault above breaks have a test of their own, here and in `test_words`."""
    own = {"light import", "declared well", "own files recognised", "time and memory", "words"}
    assert {check for check, *_ in FAULTS.values()} | own == {check.name for check in CHECKS}


def test_a_heavy_import_is_told(thermal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = thermal / "mmagent_thermal" / "__init__.py"
    text = file.read_text()
    try:
        file.write_text(text.replace("from pathlib", "import numpy as np\nfrom pathlib"))
        found = outcome("light import", subject_of("thermal", load_plugins()))
    finally:
        file.write_text(text)
    assert (found.state, "imports numpy" in found.told) == ("fail", True)


def test_memory_is_told_whatever_this_process_held_before(thermal: Path) -> None:
    """A child begins with the peak of the process that started it, as `getrusage` has it."""
    file = thermal / "mmagent_thermal" / "sensor.py"
    text = file.read_text()
    held = np.ones(90 << 17)  # 90 MiB; with torch and all else more than the child will hold
    try:
        file.write_text(
            text.replace("    whole = _trimmed(raw)", "    np.ones(80 << 17)\n    whole = _trimmed(raw)")
        )
        found = outcome("time and memory", subject_of("thermal", load_plugins()))
    finally:
        file.write_text(text)
    assert held.all()
    words = re.search(r"(\d+) MiB more at its peak", found.told)
    assert words is not None, found
    assert 70 < int(words[1]) < 200


def test_a_sample_that_is_left_as_it_is_fails_no_augmentation(tmp_path: Path) -> None:
    """A sound of more than a minute is not varied; a `vary` that changes nothing at all is told."""
    pytest.importorskip("soundfile")
    long = {"array": np.random.default_rng(0).normal(size=61 * 1000) / 9, "sampling_rate": 1000}
    found = outcome("augmentation", subject_of("audio", load_plugins(), samples=[long]))
    assert (found.state, found.told) == ("pass", "3 values of 3 seeds")
    idle = subject_of("audio", load_plugins(), samples=[long])
    idle.reader.vary = lambda raw, seed: raw  # type: ignore[attr-defined]
    assert "for every seed" in outcome("augmentation", idle).told


@pytest.mark.parametrize(
    ("sniff", "words"),
    [
        (lambda head: True, "an empty file"),
        (lambda head: bool(head), "random bytes"),
        (lambda head: head.startswith(b"\x93") or None, "True or False"),
        (lambda head: head[10] == 3, "IndexError"),
    ],
)
def test_a_sniff_that_takes_all_or_raises_is_told(
    sniff: Callable[[bytes], Any], words: str, subject: Subject
) -> None:
    object.__setattr__(subject.modality, "sniff", sniff)
    found = outcome("declared well", subject)
    assert found.state == "fail"
    assert words in found.told


def test_what_is_declared_is_what_is_tried(subject: Subject) -> None:
    wrong = {"noise": lambda raw, seed: raw + np.random.default_rng(seed).normal(size=raw.shape)}
    found = outcome("invariances", subject_of("thermal", subject.plugins, invariances=wrong))
    assert found.state == "fail"
    assert found.told.startswith("noise: features of sample 0 change by")


def test_without_inputs_checks_are_skipped_with_a_reason(
    subject: Subject, broken: Callable[..., None]
) -> None:
    broken("reader:samples", lambda original: None)
    found = outcome("shapes and masks", subject)
    assert (found.state, "give --file" in found.told) == ("skipped", True)
    assert outcome("declared well", subject).state == "pass"


def test_all_checks_of_the_command_pass_on_a_new_plugin(
    thermal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = tmp_path / "one.thermal", tmp_path / "two.thermal"
    with one.open("wb") as stream:
        np.save(stream, np.random.default_rng(0).normal(size=(9, 7)))
    two.write_text("\n".join(f"{at},{at**2}" for at in range(12)))
    files = ("--file", str(one), "--file", str(two))
    assert main(["plugins", "check", "thermal", *files]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "thermal: 17 passed, 0 failed, 4 skipped"
    for check in CHECKS:
        assert check.name in out
    assert "MiB more at its peak" in out


def test_a_failure_is_exit_code_1(
    thermal: Path,
    broken: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(conformance, "CHECKS", [one for one in CHECKS if one.name == "wrong files refused"])
    assert main(["plugins", "check", "thermal", "--json"]) == 0
    broken("reader:load", raising(ValueError))
    capsys.readouterr()
    assert main(["plugins", "check", "thermal", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["failed"], told["checks"][0]["state"]) == (1, "fail")


def test_what_is_not_there_is_one_line(thermal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (["thermel"], "Did you mean 'thermal'?"),
        (["adapters"], "It brings none."),
        (["thermal", "--file", "nowhere.npy"], "there is no file nowhere.npy"),
    ):
        assert main(["plugins", "check", *words]) == 2
        assert said in capsys.readouterr().err


def test_a_plugin_that_is_out_says_why(thermal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = thermal / "mmagent_thermal" / "__init__.py"
    text = file.read_text()
    try:
        file.write_text("import nothing_of_that_name\n")
        assert main(["plugins", "check", "thermal"]) == 2
    finally:
        file.write_text(text)
    assert "nothing_of_that_name" in capsys.readouterr().err


def test_the_listing_is_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins"]) == 0
    assert capsys.readouterr().out.startswith("plugin ")
    assert main(["plugins", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["plugins"]
    assert next(row["module"] for row in rows if row["name"] == "image") == "mmagent_image"


@pytest.mark.parametrize(("modality", "package"), [("audio", "soundfile"), ("graph", "rdkit")])
def test_a_package_that_is_missing_is_told_once(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    modality: str,
    package: str,
) -> None:
    (tmp_path / "ethanol.smi").write_text("CCO")
    given = ["--file", str(tmp_path / "ethanol.smi")] if modality == "graph" else []
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["plugins", "check", modality, *given]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1
    assert f"mmagent[{modality}]" in said.err


def test_a_sample_that_is_taken_for_another_kind_is_told(subject: Subject, tmp_path: Path) -> None:
    """The suffix does not hide it: the content chooses first, as it does for `mmagent inspect`."""
    samples = [*subject.samples]
    (tmp_path / "towns").write_text("name,people\nOslo,700000\nRome,2800000\n")
    found = outcome(
        "own files recognised",
        subject_of("thermal", subject.plugins, samples=[*samples, (tmp_path / "towns").read_bytes()]),
    )
    assert found.state == "fail"
    assert "taken for table" in found.told


def test_samples_recognised_by_their_suffix_alone_are_counted(subject: Subject) -> None:
    samples = [*subject.samples, b"words without commas\n"]
    found = outcome("own files recognised", subject_of("thermal", subject.plugins, samples=samples))
    assert (found.state, "1 of them by their suffix alone" in found.told) == ("pass", True)


@pytest.mark.parametrize("modality", ["audio", "graph", "image", "series", "set", "table", "video"])
def test_each_of_our_senses_can_be_checked_without_a_file(modality: str) -> None:
    reader = cast("CheckedReader", subject_of(modality, load_plugins()).reader)
    assert len(reader.samples()) > 1
    assert reader.invariances
