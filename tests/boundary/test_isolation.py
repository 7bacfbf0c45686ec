"""A broken plugin is out with one line that says how to mend it, and every command goes on."""

from __future__ import annotations

import json

import pytest

OURS = ("adapters", "audio", "graph", "image", "series", "set", "table", "tiny", "video")
HEAD = "from mmagent.hookspecs import hookimpl\nfrom mmagent.modality import Modality\n"
MODALITY = (
    'Modality(name="{}", help="heat", reader="nowhere:Reader", extensions=(), sniff=lambda head: False)'
)


def registering(name: str, hook: str = "register_modalities", argument: str = "register") -> str:
    """The source of a plugin that brings one modality."""
    return f"{HEAD}@hookimpl\ndef {hook}({argument}):\n    {argument}({MODALITY.format(name)})\n"


# What is in the plugin, and the words that its line must hold.
BROKEN = {
    "import error": (
        "import a_module_that_is_missing\n",
        ["ModuleNotFoundError", "'a_module_that_is_missing'"],
    ),
    "runtime error": ('raise RuntimeError("no\\nlicence")\n', ["RuntimeError: no licence"]),
    "syntax error": ("def broken(:\n", ["SyntaxError", "line 1"]),
    "misspelt hook": (
        registering("thermal", hook="register_modalites"),
        ["no hook 'register_modalites'", "Did you mean 'register_modalities'?"],
    ),
    "claims the name image": (registering("image"), ["the modality 'image' exists already"]),
}
ODD = {
    "leaves on import": ("import sys\nsys.exit(0)\n", ["SystemExit: 0"]),
    "wrong argument": (registering("thermal", argument="registrar"), ["registrar"]),
    "no hook at all": ("x = 1\n", ["implements no hook", "@hookimpl"]),
    "hook raises": (f"{HEAD}@hookimpl\ndef register_bundles(register):\n    1 / 0\n", ["ZeroDivisionError"]),
    "registers a word": (
        f'{HEAD}@hookimpl\ndef register_adapters(register):\n    register("heat")\n',
        ["registers a str where a AdapterFamily belongs"],
    ),
    "name that combines": (
        f"{HEAD}from mmagent.adapter import AdapterFamily\n@hookimpl\ndef register_adapters(register):\n"
        '    register(AdapterFamily("a+b", "both", "nowhere:build"))\n',
        ["cannot be called 'a+b'"],
    ),
    "name of an option": (registering("choices"), ["cannot be called 'choices'"]),
    "name that makes no option": (registering("Two Words"), ["cannot be called 'Two Words'"]),
    "command that exists": (
        f"{HEAD}@hookimpl\ndef register_commands(app):\n    @app.command()\n    def ask():\n        pass\n",
        ["the command 'ask' exists already"],
    ),
    "command that cannot be built": (
        f"{HEAD}@hookimpl\ndef register_commands(app):\n    @app.command()\n    def warm(x: 'Odd'): pass\n",
        ["NameError: name 'Odd' is not defined"],
    ),
}
SLOW = "import time\ntime.sleep(0.8)\n" + registering("thermal")


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("case", BROKEN)
def test_ask_goes_on_and_one_line_tells(case, install, run, tiny_bundle, pictures):
    source, words = BROKEN[case]
    install(source)
    done = run("ask", "what is this?", "--image", pictures / "red.png", "--bundle", tiny_bundle, "--json")
    assert done.returncode == 0, done.stderr
    assert "text" in json.loads(done.stdout)
    [line] = lines(done.stderr)
    assert line.startswith("mmagent: plugin 'thermal' (mmagent-thermal 0.3) is out: ")
    assert "pip uninstall mmagent-thermal" in line
    for word in words:
        assert word in line


def test_ask_goes_on_with_a_slow_plugin_and_one_line_tells(install, run, tiny_bundle, pictures):
    install(SLOW)
    done = run("ask", "--image", pictures / "red.png", "--bundle", tiny_bundle, "--json")
    assert done.returncode == 0, done.stderr
    assert "text" in json.loads(done.stdout)
    [line] = lines(done.stderr)
    assert "plugin 'thermal' (mmagent-thermal 0.3) is slow: importing" in line
    assert "pip uninstall mmagent-thermal" in line


@pytest.mark.parametrize("case", [*BROKEN, *ODD])
def test_the_listing_says_who_is_out(case, install, run):
    source, words = {**BROKEN, **ODD}[case]
    install(source)
    done = run("plugins", "--json")
    assert done.returncode == 0
    listing = json.loads(done.stdout)
    states = {row["name"]: row["state"] for row in listing["plugins"]}
    assert states == dict.fromkeys(OURS, "ok") | {"thermal": "out"}
    assert len(listing["problems"]) == 1
    [line] = lines(done.stderr)
    for word in words:
        assert word in line


def test_the_listing_shows_a_slow_plugin(install, run):
    install(SLOW)
    row = next(line for line in run("plugins").stdout.splitlines() if line.startswith("thermal"))
    assert "slow (0." in row or "slow (1." in row
    assert "modality thermal" in row


def test_a_stranger_that_takes_our_plugin_name_is_out(install, run):
    install(registering("thermal"), name="image")
    done = run("plugins", "--json")
    owners = [
        (row["distribution"], row["state"])
        for row in json.loads(done.stdout)["plugins"]
        if row["name"] == "image"
    ]
    assert owners == [("mmagent", "ok"), ("mmagent-thermal", "out")]
    assert "a plugin called 'image' is there already" in done.stderr


def test_a_plugin_is_taken_whole_or_not_at_all(install, run):
    two = f"    register({MODALITY.format('depth')})\n    register({MODALITY.format('image')})\n"
    install(f"{HEAD}@hookimpl\ndef register_modalities(register):\n{two}")
    assert "--depth" not in run("ask", "--help").stdout


def test_two_broken_plugins_get_a_line_each(install, run):
    install("1 / 0\n", name="a", distribution="mmagent-a")
    install("import missing_one\n", name="b", distribution="mmagent-b")
    told = lines(run("--help").stderr)
    assert [line.split("'")[1] for line in told] == ["a", "b"]


def test_what_a_plugin_prints_never_reaches_stdout(install, run):
    install('print("hello")\n' + registering("thermal"))
    done = run("plugins", "--json")
    assert len(json.loads(done.stdout)["plugins"]) == len(OURS) + 1
    assert done.stderr == "hello\n"


def test_the_shell_completes_in_peace_with_a_broken_plugin(install, run):
    install("1 / 0\n")
    done = run(
        _MMAGENT_COMPLETE="complete_bash",
        COMP_WORDS="mmagent bun",
        COMP_CWORD="1",
        _TYPER_COMPLETE_ARGS="mmagent bun",
    )
    assert done.stdout.split() == ["bundles"]
    assert done.stderr == ""
