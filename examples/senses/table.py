"""Questions to tables never seen: what an agent answers, beside its controls and who did the work.

    python examples/senses/table.py --data DATA --asker ENCODER --spelling FILE --out BUNDLE [--trees 1500]

DATA is the folder of the data sets (`wtq` in it); ENCODER and FILE are what `train_table.py` and
`train_table_spelling.py` write. The bundle is `tiny` with a sense for tables. Asked are questions made by
templates of the dev tables (lookup, count, superlative; wordings as in fitting, and wordings kept from it)
and WikiTableQuestions' own dev questions. Every seed draws other questions and other tables for the shuffle;
give --asker several times for askers that were fitted with other seeds. --trees fits scikit-learn's models to
the same features of the same questions as the asker (`table_trees.py`).
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from table_questions import KINDS, made_of
from table_trees import Judges
from train_table import questions as training_questions
from wtq import Wtq

from mmagent.agent import Agent, Request
from mmagent.answer import Answer
from mmagent.bundle import Bundle, find_bundle
from mmagent.evaluation.calibration import calibration_error
from mmagent.evaluation.controls import derangement
from mmagent.plugins import load_plugins
from mmagent.tensors import read_tensors
from mmagent_adapters.spelling import build
from mmagent_table.asker import Candidates, candidates
from mmagent_table.cells import is_missing
from mmagent_table.encoders import read_asker
from mmagent_table.reader import TableReader
from mmagent_table.table import Table
from mmagent_table.tell import spoken, tell
from mmagent_table.words import same_answer


@dataclass(frozen=True, eq=False)
class Posed:
    """A question about a table: its row of the result, its answers."""

    row: str
    table: bytes
    question: str
    answers: Sequence[str]


def main() -> None:
    """Write the bundle, ask, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--asker", type=Path, action="append", required=True)
    parser.add_argument("--spelling", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="where the bundle is written")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tables", type=int, default=120, help="dev tables that questions are made of")
    parser.add_argument("--own", type=int, default=500, help="WikiTableQuestions' own dev questions")
    parser.add_argument(
        "--trees", type=int, default=0, help="questions that scikit-learn's models learn from"
    )
    given = parser.parse_args()
    data = Wtq(given.data)
    found: dict[tuple[str, str], list[float]] = {}
    sizes: dict[str, int] = {}
    for at, seed in enumerate(given.seeds):
        asker = given.asker[at % len(given.asker)]
        agent = Agent.load(write_bundle(given.out, asker, given.spelling), dtype="float32")
        asked = questions(data, given.tables, seed)
        if at < len(given.asker):  # the same questions for every seed: once for each asker
            asked += own_questions(data, given.own)
        judges = Judges(judged(data, seed, given.trees), seed) if given.trees else None
        rights = answered(agent, asker, asked, seed, judges)
        for row in dict.fromkeys(one.row for one in asked):
            places = [place for place, one in enumerate(asked) if one.row == row]
            sizes[row] = len(places)
            for system in rights:
                found.setdefault((row, system), []).append(
                    float(np.mean([rights[system][p] for p in places]))
                )
    print("\n".join(printed(found, sizes)))


def write_bundle(out: Path, asker: Path, spelling: Path) -> Path:
    """The embedded bundle with a sense for tables."""
    tiny = Bundle.open(find_bundle("tiny", load_plugins().bundles))
    state = read_tensors(spelling)
    config = build({}, 0, state["before"].shape[1]).config
    manifest = json.loads((tiny.path / "bundle.json").read_text(encoding="utf-8"))
    for name in ("format", "files"):
        del manifest[name]
    adapter = {"family": "spelling", "config": config, "weights": "table/adapter.safetensors"}
    manifest["senses"]["table"] = {"encoder": "table/encoder", "adapter": adapter}
    manifest["name"] = out.name
    parts: dict[str, Any] = {name: tiny.path / name for name in tiny.files if not name.startswith("table/")}
    whole = {**parts, "table/encoder": asker, "table/adapter.safetensors": state}
    return Bundle.write(out, manifest, whole, card=tiny.card(), replace=True).path


def questions(data: Wtq, n_tables: int, seed: int) -> list[Posed]:
    """Questions of every kind and either wording, made of dev tables."""
    rng, reader = random.Random(seed), TableReader()
    made = []
    names = data.tables("dev")
    for name in rng.sample(names, min(n_tables, len(names))):
        content = data.content(name)
        table = reader.table(content)
        for kept in (False, True):
            for one in made_of(table, rng, kept=kept):
                row = f"{one.kind}, {'wordings kept for testing' if kept else 'wordings of fitting'}"
                made.append(Posed(row, content, one.question, [one.answer]))
    order = [
        f"{kind}, {form}" for kind in KINDS for form in ("wordings of fitting", "wordings kept for testing")
    ]
    return sorted(made, key=lambda one: order.index(one.row))


def own_questions(data: Wtq, n: int) -> list[Posed]:
    """WikiTableQuestions' dev questions as they are."""
    rows = data.questions("dev")[:n]
    return [
        Posed("WikiTableQuestions dev", data.content(row["table"]), row["question"], row["answers"])
        for row in rows
    ]


def judged(data: Wtq, seed: int, most: int) -> list[tuple[Candidates, np.ndarray[Any, Any]]]:
    """Training questions with the candidates that answer them, for scikit-learn's models."""
    return [(found, right) for _, found, right in training_questions(data, seed, most) if right.any()]


def answered(
    agent: Agent, place: Path, asked: Sequence[Posed], seed: int, judges: Judges | None
) -> dict[str, list[bool]]:
    """Which questions each system answers right."""
    asker, reader = read_asker(place), TableReader()
    tables: dict[bytes, Table] = {one.table: reader.table(one.table) for one in asked}
    swapped = derangement([one.answers[0] for one in asked], [one.table for one in asked], seed)

    def judge(texts: Sequence[str]) -> list[bool]:
        return [is_right(text, one.answers) for text, one in zip(texts, asked, strict=True)]

    def generated(request: Callable[[int], Request]) -> tuple[list[bool], list[float]]:
        order = sorted(range(len(asked)), key=lambda at: asked[at].table)  # a table's questions in a row
        said = agent.ask_many([request(at) for at in order], memory=False, max_tokens=40)
        told = {
            at: (one.text, one.confidence) if isinstance(one, Answer) else (str(one), 0.0)
            for at, one in zip(order, said, strict=True)
        }
        texts, sure = zip(*(told[at] for at in range(len(asked))), strict=True)
        return judge(texts), list(sure)

    begun = time.perf_counter()
    right, sure = generated(lambda at: Request(asked[at].question, {"table": [asked[at].table]}))
    rights = {"agent": right}
    seconds, error = time.perf_counter() - begun, calibration_error(sure, right).value()
    print(f"{1000 * seconds / len(asked):.0f} ms a question; calibration error {error:.3f}", flush=True)
    heard = [agent.read(Request(one.question, {"table": [one.table]})).prompt for one in asked]
    rights["nothing copied"] = judge(said_alone(agent, heard))
    rights["asker alone"] = judge([tell(tables[one.table], one.question, asker).words for one in asked])
    for name in judges.models if judges is not None else ():
        assert judges is not None
        best = [judges.best(name, candidates(one.question, tables[one.table].grid)) for one in asked]
        rights[name] = judge([spoken(program.said) for program in best])
    rights["most frequent cell"] = judge([most_frequent(tables[one.table]) for one in asked])
    rights["blind"] = generated(lambda at: Request(asked[at].question))[0]
    rights["shuffled"] = generated(
        lambda at: Request(asked[at].question, {"table": [asked[swapped[at]].table]})
    )[0]
    rights["oracle"] = generated(
        lambda at: Request(f"{asked[at].question} Table: {', '.join(asked[at].answers)}")
    )[0]
    rights["oracle spelt"] = judge(spelt(agent, asked))
    return rights


def spelt(agent: Agent, asked: Sequence[Posed]) -> list[str]:
    """What the core says where the right cells are told it as the sense tells its own."""
    import torch

    from mmagent.core import Soft
    from mmagent.core.assemble import spell
    from mmagent.telling import as_soft_tokens

    adapter = agent.bundle.load_adapter("table", load_plugins(), 0, agent.core.d_core)
    prompts = []
    for one in asked:
        with torch.no_grad():
            soft = as_soft_tokens(", ".join(one.answers), partial(spell, agent.core), adapter)
        prompts.append(agent.compose(Request(one.question), "table", [Soft.of(soft)]).prompt)
    return said_alone(agent, prompts)


def said_alone(agent: Agent, prompts: Sequence[Any]) -> list[str]:
    """What the core says to prompts where nothing has a say beside it."""
    said = []
    for at in range(0, len(prompts), 64):
        said += agent.core.generate(prompts[at : at + 64], max_tokens=40, stop=("\n",))
    return [one.text for one in said]


def most_frequent(table: Table) -> str:
    """The control: the cell that a table has most often."""
    cells = Counter(cell for row in table.rows() for cell in row if not is_missing(cell))
    return cells.most_common(1)[0][0]


def is_right(said: str, wanted: Sequence[str]) -> bool:
    """Whether a text gives the answers, as WikiTableQuestions judges: as a set, numbers by value."""
    text = said.strip()
    return same_answer([text], [", ".join(wanted)]) or same_answer(text.split(", "), wanted)


def printed(found: dict[tuple[str, str], list[float]], sizes: dict[str, int]) -> list[str]:
    """Markdown: a row for each kind of question, per cent right, the mean and every seed."""
    systems = list(dict.fromkeys(system for _, system in found))
    lines = [f"| questions | n | {' | '.join(systems)} |", f"|---|---|{'---|' * len(systems)}"]
    for row, n in sizes.items():
        cells = []
        for system in systems:
            values = [100 * value for value in found[row, system]]
            seeds = f" ({', '.join(f'{value:.0f}' for value in values)})" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):.1f}{seeds}")
        lines.append(f"| {row} | {n} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
