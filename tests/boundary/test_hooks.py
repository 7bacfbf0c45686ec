"""What a stranger's plugin can do through each hook; every hook has a case here."""

from __future__ import annotations

import inspect
import json

from mmagent import hookspecs

PLUGIN = '''
import sys
from pathlib import Path
from mmagent.adapter import AdapterFamily
from mmagent.bundle import BundleSource
from mmagent.hookspecs import hookimpl
from mmagent.modality import Modality
from mmagent.training.preset import Preset

@hookimpl
def register_modalities(register):
    register(Modality("heat_map", "heat from a camera", "nowhere_at_all:Reader", (".heat",), bool))

@hookimpl
def register_adapters(register):
    register(AdapterFamily("warm", "a warm one", "nowhere:build"))

@hookimpl
def register_bundles(register):
    register(BundleSource("hot", Path({bundle!r}), "mmagent-thermal"))

@hookimpl
def register_presets(register):
    register(Preset("gentle", "slow and sure", Path({bundle!r}).with_name("gentle.toml")))

@hookimpl
def register_commands(app):
    @app.command()
    def calibrate(camera: str, times: int = 1):
        """Calibrate a camera."""
        print("calibrated", camera, times)
'''


def hooks() -> list[str]:
    return [name for name in vars(hookspecs) if name.startswith("register_")]


def test_every_hook_is_documented_and_tried_here():
    for name in hooks():
        assert inspect.getdoc(getattr(hookspecs, name)), name
        assert f"def {name}({', '.join(inspect.signature(getattr(hookspecs, name)).parameters)})" in PLUGIN


def test_the_hooks_fit_on_one_screen():
    assert len(inspect.getsource(hookspecs).splitlines()) <= 60


def test_a_plugin_brings_all_it_registers(install, run, tiny_bundle):
    install(PLUGIN.format(bundle=str(tiny_bundle)))
    listing = json.loads(run("plugins", "--json").stdout)
    brings = next(row["brings"] for row in listing["plugins"] if row["name"] == "thermal")
    assert brings == ["modality heat_map", "adapter warm", "bundle hot", "preset gentle", "command calibrate"]
    assert listing["problems"] == []


def test_a_new_modality_gives_its_own_option(install, run, tiny_bundle):
    install(PLUGIN.format(bundle=str(tiny_bundle)))
    assert "--heat-map FILE" in run("ask", "--help").stdout


def test_a_new_command_is_there(install, run, tiny_bundle):
    install(PLUGIN.format(bundle=str(tiny_bundle)))
    assert "Calibrate a camera." in run("--help").stdout
    assert run("calibrate", "front", "--times", "2").stdout == "calibrated front 2\n"


def test_a_new_bundle_is_listed_and_found_by_name(install, run, tiny_bundle):
    install(PLUGIN.format(bundle=str(tiny_bundle)))
    rows = {row["name"]: row for row in json.loads(run("bundles", "--json").stdout)}
    assert rows["hot"]["origin"] == "mmagent-thermal"
    assert rows["hot"]["problem"] is None
    assert run("bundles", "show", "hot").stdout.startswith("# random")


def test_a_heavy_half_that_is_missing_names_the_plugin(install, run, tiny_bundle, pictures):
    install(PLUGIN.format(bundle=str(tiny_bundle)))
    done = run("ask", "--heat-map", pictures / "red.png", "--bundle", "hot")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "plugin 'thermal' (mmagent-thermal 0.3)" in done.stderr
    assert "nowhere_at_all" in done.stderr


def test_a_new_preset_is_found_by_name(install, run, tiny_bundle):
    install(PLUGIN.format(bundle=str(tiny_bundle)))
    tiny_bundle.with_name("gentle.toml").write_text("epochs = -3\n")
    given = ("--data", "nowhere.csv", "--out", "nowhere")
    done = run("train", *given, "--preset", "gentle")
    assert "gentle.toml: epochs is -3" in done.stderr
    done = run("train", *given, "--preset", "gentel")
    assert "no preset called 'gentel'." in done.stderr
    assert "Did you mean 'gentle'?" in done.stderr
