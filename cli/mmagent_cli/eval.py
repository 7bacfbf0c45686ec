"""``mmagent eval``: a bundle on labelled data, beside controls and baselines; a verdict, and a report."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmagent.errors import UserError
from mmagent.plugins import Plugins
from mmagent_cli import eval_episodes, failure, progress
from mmagent_cli.completing import complete_bundle, complete_dtype
from mmagent_cli.data_options import Columns, Data, EpisodeNames, Question, SplitColumn, parse_columns
from mmagent_cli.options import MOST_SEED
from mmagent_cli.state import State
from mmagent_cli.typed import dtype_of

if TYPE_CHECKING:
    from mmagent.agent import Agent
    from mmagent.evaluation import Evaluation

__all__ = ["add", "tell"]

CONTROLS = "blind,shuffled,oracle"
BASELINES = "majority,nearest,logistic,memory"
NO_PART = ("out", "as_json")  # of what the numbers hang on
NO_EPISODES = {
    "senses": None,
    "shots": "0",
    "baselines": BASELINES,
    "judge": None,
}  # options that episodes have no use for
EPISODES_ALONE = {"induction": False, "count": 500}


class Memory(StrEnum):
    """Whether shots vote by similarity while the core decodes."""

    on = "on"
    off = "off"
    both = "both"


class ShotChoice(StrEnum):
    """Which shots are shown."""

    random = "random"
    nearest = "nearest"


def add(app: typer.Typer, plugins: Plugins, help: str) -> None:
    """Add the command to the app."""
    app.command("eval", short_help=help)(run)


def run(
    context: typer.Context,
    data: Data,
    bundle: Annotated[
        str,
        typer.Option(
            "--bundle",
            metavar="NAME|DIR",
            help="The bundle to evaluate.",
            autocompletion=complete_bundle,
        ),
    ] = "tiny",
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="NAME",
            help="The rows to answer; else test, else validation, else all.",
            show_default=False,
        ),
    ] = None,
    senses: Annotated[
        str | None,
        typer.Option(
            "--senses",
            metavar="A,B",
            help="Give the media of these modalities alone: image or image,audio.",
            show_default=False,
        ),
    ] = None,
    shots: Annotated[
        str,
        typer.Option("--shots", metavar="N,N", help="Numbers of shots, drawn from the split train: 0,1,4."),
    ] = "0",
    controls: Annotated[
        str, typer.Option("--controls", metavar="A,B", help="Runs that should fail; none for none.")
    ] = CONTROLS,
    baselines: Annotated[
        str, typer.Option("--baselines", metavar="A,B", help="Simpler systems on the same features; or none.")
    ] = BASELINES,
    judge: Annotated[
        str | None,
        typer.Option(
            "--judge",
            metavar="NAME",
            help="exact match, choice accuracy or VQA accuracy; chosen by the data.",
            show_default=False,
        ),
    ] = None,
    column: Columns = None,
    split_column: SplitColumn = None,
    question: Question = None,
    names: EpisodeNames = None,
    memory: Annotated[
        Memory,
        typer.Option("--memory", help="Let near shots vote for their answers; both: rows with and without."),
    ] = Memory.on,
    shot_choice: Annotated[
        ShotChoice,
        typer.Option("--shot-choice", help="Shots drawn by lot, or those nearest to the question."),
    ] = ShotChoice.random,
    episodes: Annotated[
        str | None,
        typer.Option(
            "--episodes",
            metavar="SPEC",
            help="Few-shot episodes of new names instead: ways=2,shots=1,3,5,repeats=0,5.",
            show_default=False,
        ),
    ] = None,
    induction: Annotated[
        bool, typer.Option("--induction", help='Episodes begin with "Answer with dax or blicket.".')
    ] = False,
    count: Annotated[int, typer.Option("--count", metavar="N", help="Episodes of each setting.")] = 500,
    seed: Annotated[
        int,
        typer.Option("--seed", metavar="N", help="Of shots, shuffling and intervals.", min=0, max=MOST_SEED),
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where the report is written.", show_default=False),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", metavar="DEVICE", help="cuda, mps or cpu.", show_default=False)
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            "--dtype",
            metavar="DTYPE",
            help="float32, bfloat16 or float16.",
            show_default=False,
            autocompletion=complete_dtype,
        ),
    ] = None,
    load_in: Annotated[
        str | None,
        typer.Option("--load-in", metavar="8bit|4bit", help="Quantise the core.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Measure a bundle on labelled data, beside controls and baselines, and say what the number is worth."""
    state: State = context.obj
    given = {
        "senses": senses,
        "shots": shots,
        "baselines": baselines,
        "judge": judge,
        "induction": induction,
        "count": count,
    }
    _demand_fitting(episodes, memory, names, given)
    asked: dict[str, Any] = {"split": split, "seed": seed}
    if episodes is None:
        asked |= {} if senses is None else {"senses": _words(senses)}
        asked |= {"shots": _numbers(shots), "controls": _words(controls), "baselines": _words(baselines)}
        asked |= {"judge": judge, "memory": memory is Memory.on, "shot_choice": shot_choice.value}
    columns = parse_columns(column, split_column)
    _demand(bundle, out, state)
    if episodes is None:
        from mmagent.evaluation.run import check_asked

        check_asked(*(asked[name] for name in ("shots", "controls", "baselines", "judge")))
    else:
        asked |= eval_episodes.check(
            episodes,
            names=names,
            memory=memory.value,
            controls=_words(controls),
            shot_choice=shot_choice.value,
            count=count,
            induction=induction,
        )
    from mmagent.data import read_labelled

    with progress.patience("reading"):
        labelled = read_labelled(
            data,
            state.plugins.modalities,
            columns=columns or None,
            question=question,
            names=names if episodes is None else None,
        )
    labelled.demand_sound()
    agent = _wake(bundle, state, device, dtype, load_in)
    if episodes is not None:
        eval_episodes.run(agent, labelled, asked, out=out, as_json=as_json, command=_command(context, agent))
        return
    from mmagent.evaluation import evaluate, write_report

    with progress.stages() as advance:
        evaluation = evaluate(agent, labelled, command=_command(context, agent), progress=advance, **asked)
    with progress.patience("computing intervals"):
        tell(evaluation, as_json=as_json)
        page = write_report(evaluation, out) if out is not None else None
    if page is not None:
        failure.say(f"the report is in {page}")


def tell(evaluation: Evaluation, *, as_json: bool = False) -> None:
    """Print the verdict, or the whole report as JSON, to stdout; notes to stderr."""
    if as_json:
        from mmagent.evaluation.page import as_text

        print(as_text(evaluation.report), end="")
    else:
        print("\n".join(evaluation.lines))
    for note in evaluation.notes:
        failure.say(note)


def _command(context: typer.Context, agent: Agent) -> list[str]:
    """What to type to have the same numbers again: defaults written out, and the dtype that was chosen."""
    words = ["mmagent", "eval"]
    idle = EPISODES_ALONE if context.params["episodes"] is None else NO_EPISODES
    for option in context.command.params:
        value = context.params.get(option.name or "")
        value = dtype_of(agent.core) if option.name == "dtype" else value
        several = value if isinstance(value, list | tuple) else [] if value is None else [value]
        if option.name in NO_PART or option.name in idle:
            continue
        if isinstance(value, bool):
            words += [option.opts[0]] if value else []
        else:
            words += [word for one in several for word in (option.opts[0], str(getattr(one, "value", one)))]
    return words


def _demand_fitting(episodes: str | None, memory: Memory, names: str | None, given: dict[str, Any]) -> None:
    """Refuse options that mean nothing with --episodes, or without. Raises `UserError`."""
    idle = EPISODES_ALONE if episodes is None else NO_EPISODES
    useless = [f"--{name}" for name, unless_given in idle.items() if given[name] != unless_given]
    if episodes is not None and useless:
        raise UserError(
            f"{useless[0]} means nothing to few-shot episodes: --episodes says how many shots, an answer is "
            "right as the exact name, and the nearest shot mean stands beside it. Leave it away."
        )
    if episodes is None and memory is Memory.both:
        useless.append("--memory both")
    if episodes is None and names in ("invented", "real") and not Path(names).exists():
        useless.append(f"--names {names}")
    if useless:
        raise UserError(f"{useless[0]} is for few-shot episodes. Give --episodes, too, or leave it away.")


def _numbers(text: str) -> list[int]:
    """``0,1,4`` as numbers. Raises `UserError`."""
    words = _words(text)
    if not words or not all(word.isdecimal() for word in words):
        raise UserError(f"cannot read --shots {text!r}. Write numbers like this: --shots 0,1,4.")
    return [int(word) for word in words]


def _words(text: str) -> list[str]:
    """``a,b`` as a list, each once; ``none`` is an empty one."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    return [] if words == ["none"] else list(dict.fromkeys(words))


def _demand(bundle: str, out: Path | None, state: State) -> None:
    """Tell an unknown or broken bundle, and a place that is taken, before anything long begins."""
    from mmagent.bundle import Bundle, find_bundle

    Bundle.open(find_bundle(bundle, state.plugins.bundles), check_content=False)
    if out is not None:
        from mmagent.evaluation.page import demand_place

        demand_place(out)


def _wake(bundle: str, state: State, device: str | None, dtype: str | None, load_in: str | None) -> Agent:
    with progress.patience(f"loading {bundle}"):
        from mmagent.agent import Agent

        return Agent.load(bundle, device=device, dtype=dtype, load_in=load_in, plugins=state.plugins)
