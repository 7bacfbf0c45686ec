"""Questions to tables: the right cells are found on tables never seen, and an agent says them."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mmagent.agent import Agent, Request
from mmagent.asked import Asked
from mmagent.bundle import Bundle
from mmagent.core import Soft
from mmagent.errors import UserError
from mmagent_table.asker import Asker
from mmagent_table.encoders import D_ASKED, load_encoder, write_asker
from mmagent_table.reader import TableReader
from mmagent_table.separated import read_separated
from mmagent_table.table import Table
from mmagent_table.tell import described, tell
from mmagent_table.words import same_answer, stems

CAPITALS = b"""country,capital,people (million),founded
France,Paris,68,843
Norway,Oslo,5.5,872
Nigeria,Abuja,223,1960
Chad,N'Djamena,18,1960
Germany,Berlin,84,1871
Spain,Madrid,48,1479
"""


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("what is the capital of France?", "Paris"),
        ("What is the capital of nigeria", "Abuja"),
        ("what capital does Frnace have?", "Paris"),
        ("which country has the highest people?", "Nigeria"),
        ("which country has the lowest people?", "Norway"),
        ("how many have a founded of 1960?", "2"),
    ],
)
def test_lookups_superlatives_and_counts(asker: Asker, question: str, answer: str) -> None:
    assert tell(TableReader().table(CAPITALS), question, asker).words == answer


def test_unseen_tables_are_answered_far_above_the_most_frequent_cell(
    asker: Asker, invented: Callable[[int], Table]
) -> None:
    from table_questions import made_of

    rng = random.Random(5)
    right = frequent = n = 0
    for seed in range(1000, 1040):
        table = invented(seed)
        common = Counter(cell for row in table.rows() for cell in row).most_common(1)[0][0]
        for made in made_of(table, rng, kept=True):
            n += 1
            right += same_answer([tell(table, made.question, asker).words], [made.answer])
            frequent += common == made.answer
    assert n > 90
    assert right / n > 0.7
    assert right / n > frequent / n + 0.2


def test_a_long_table_is_asked_by_the_rows_that_matter(asker: Asker, tmp_path: Path) -> None:
    file = tmp_path / "long.csv"
    rng = random.Random(0)
    with file.open("w") as stream:
        stream.write("city,country,height\n")
        for at in range(20_000):
            country = "Nowhere" if at % 1000 == 7 else f"land{rng.randrange(50)}"
            stream.write(f"town{at},{country},{rng.randrange(10**6) if at != 12_345 else 7 * 10**6}\n")
    table = TableReader().table(file)
    assert tell(table, "what is the country of town15007?", asker).words == "Nowhere"
    assert tell(table, "how many have a country of Nowhere?", asker).words == "20"
    assert tell(table, "which city has the highest height?", asker).words == "town12345"


def test_without_a_question_a_table_is_described(asker: Asker) -> None:
    table = TableReader().table(CAPITALS)
    assert described(table) == "a table of 6 rows with country, capital, people (million) and founded"
    assert tell(table, None, asker).words == described(table)


def test_an_asker_written_and_read_answers_alike(asker: Asker, tmp_path: Path) -> None:
    write_asker(tmp_path / "asker", asker)
    first, again = (load_encoder(str(tmp_path / "asker"), device=torch.device("cpu")) for _ in range(2))
    assert first.id == again.id != load_encoder("builtin", device=torch.device("cpu")).id
    table = TableReader().table(CAPITALS)
    asked = TableReader().load(Asked(CAPITALS, "what is the capital of Spain?"))
    for encoder in (first, again):
        told: Any = encoder
        assert list(told.tell([asked, table])) == ["Madrid", described(table)]
    (tmp_path / "asker" / "config.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(UserError, match="no table asker of this version"):
        load_encoder(str(tmp_path / "asker"), device=torch.device("cpu"))


@pytest.mark.parametrize("family", [None, "spelling"])
def test_an_agent_hears_the_cells_that_answer(
    asker: Asker, tiny_bundle: Path, tmp_path: Path, family: str | None
) -> None:
    from mmagent_adapters.spelling import build

    write_asker(tmp_path / "asker", asker)
    sense: dict[str, Any] = {"encoder": "table/encoder"}
    parts: dict[str, Any] = {"core": tiny_bundle / "core", "table/encoder": tmp_path / "asker"}
    config = {"n_words": 8, "n_before": 2, "n_after": 1, "d_hidden": 16}
    if family is not None:
        sense["adapter"] = {"family": family, "config": config, "weights": "table/adapter.safetensors"}
        parts["table/adapter.safetensors"] = build(config, 0, 32).state_dict()
    manifest = {"name": "tables", "core": {"path": "core"}, "senses": {"table": sense}}
    Bundle.write(tmp_path / "bundle", manifest, parts, card="# tables\n")
    agent = Agent.load(tmp_path / "bundle", dtype="float32")
    read = agent.read(Request("what is the capital of France?", {"table": [CAPITALS]}))
    before, soft, after = read.prompt
    assert (before, after) == ("Table:", "\nQuestion: what is the capital of France?\nAnswer:")
    assert isinstance(soft, Soft)
    paris = agent.core.embed(torch.tensor([agent.core.tokens.follow(" Paris")]))[0]
    if family is None:
        assert torch.equal(soft.embeds, paris)
    else:
        assert len(soft) == len(paris) + 3
        assert torch.allclose(
            soft.embeds[2:-1], paris, atol=1e-5
        )  # an untrained one leaves words as they are
    answer = agent.ask("what is the capital of Spain?", table=CAPITALS, max_tokens=4)
    assert answer.prompt_tokens > len(agent.core.tokens.follow(str(after)))


def test_a_table_asked_about_several_times_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[object] = []
    monkeypatch.setattr(
        "mmagent_table.reader.read_separated", lambda *of: reads.append(of) or read_separated(*of)
    )
    file = tmp_path / "towns.csv"
    file.write_bytes(CAPITALS)
    reader = TableReader()
    asked = [
        reader.load(Asked(file, question)) for question in ("what of Chad?", "what  of Chad?", "and Spain?")
    ]
    assert len(reads) == 1
    one, same, other = (reader.fingerprint(raw) for raw in asked)
    assert one == same != other != reader.fingerprint(reader.load(file))
    file.write_bytes(CAPITALS.replace(b"Abuja", b"Lagos"))
    assert reader.fingerprint(reader.load(Asked(file, "what of Chad?"))) != one
    assert len(reads) == 2


def test_the_question_is_in_the_features() -> None:
    reader, encoder = TableReader(), load_encoder("builtin", device=torch.device("cpu"))
    sources = [CAPITALS, Asked(CAPITALS, "what is the capital of France?"), Asked(CAPITALS, "is it red?")]
    silent, known, strange = encoder.encode([reader.load(source) for source in sources]).pooled
    assert not silent[-D_ASKED:].any()
    assert torch.equal(silent[:-D_ASKED], known[:-D_ASKED])
    shares = known[-D_ASKED:], strange[-D_ASKED:]
    assert shares[0][1] > shares[1][1]  # the share of the question's words that the table has


def test_words_meet_whatever_their_form() -> None:
    assert stems("Cities' 12,467 wheelchairs") == ("city", "12467", "wheelchair")
    assert same_answer(["12,467"], ["12467"])
    assert same_answer(["Tromsø", "Bodo"], ["bodo", "tromsø"])
    assert not same_answer(["5"], ["6"])
