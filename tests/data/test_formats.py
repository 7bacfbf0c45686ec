"""The same rows in every layout are the same examples; nothing is decoded while they are read."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmagent.data import check
from mmagent.errors import UserError


def content(source):
    """The bytes of a picture, wherever they are."""
    return Path(source).read_bytes() if isinstance(source, str | Path) else source.read()


def plain(labelled):
    """What the examples say, wherever they were read from."""
    return [
        (one.split, one.question, one.answer, one.answers, one.choices, *map(content, one.media["image"]))
        for one in labelled
    ]


def as_json(place, rows):
    (place / "rows.json").write_text(json.dumps(rows))
    return place / "rows.json"


def as_jsonl(place, rows):
    text = "\ufeff" + "\n\n".join(map(json.dumps, rows))  # a byte-order mark and blank lines
    (place / "rows.jsonl").write_text(text, encoding="utf-8")
    return place / "rows.jsonl"


def as_json_lines_called_json(place, rows):
    (place / "rows.json").write_text("\n".join(map(json.dumps, rows)))
    return place / "rows.json"


def as_csv(place, rows, separator=",", suffix="csv"):
    lines = [separator.join(rows[0])] + [separator.join(row.values()) for row in rows]
    (place / f"rows.{suffix}").write_text("\n".join(lines))
    return place / f"rows.{suffix}"


def as_tsv(place, rows):
    return as_csv(place, rows, "\t", "tsv")


def as_csv_of_a_spreadsheet(place, rows):
    return as_csv(place, rows, ";")


def as_parquet_of_paths(place, rows):
    pq.write_table(pa.Table.from_pylist(rows), place / "rows.parquet")
    return place / "rows.parquet"


def as_parquet_of_bytes(place, rows):
    kept = [{**row, "image": {"bytes": content(place / row["image"]), "path": "x.png"}} for row in rows]
    pq.write_table(pa.Table.from_pylist(kept), place / "rows.parquet", row_group_size=5)
    return place / "rows.parquet"


def as_parquet_of_both(place, rows):
    """Some rows hold their picture, some its path, and no statistics say which."""
    kept = [
        {**row, "image": {"bytes": content(place / row["image"]) if at % 2 else None, "path": row["image"]}}
        for at, row in enumerate(rows)
    ]
    pq.write_table(pa.Table.from_pylist(kept), place / "rows.parquet", write_statistics=False)
    return place / "rows.parquet"


def as_parquet_of_plain_bytes(place, rows):
    kept = [{**row, "image": content(place / row["image"])} for row in rows]
    pq.write_table(pa.Table.from_pylist(kept), place / "rows.parquet")
    return place / "rows.parquet"


def as_class_folders(place, rows):
    return place


def as_metadata(place, rows):
    return (
        as_csv(place, [{"file_name": r["image"], "label": r["label"], "split": r["split"]} for r in rows])
        .rename(place / "metadata.csv")
        .parent
    )


def as_metadata_in_each_split(place, rows):
    for split in ("train", "val"):
        own = [
            {"file_name": row["image"].removeprefix(f"{split}/"), "label": row["label"]}
            for row in rows
            if row["split"] == split
        ]
        (place / split / "metadata.jsonl").write_text("\n".join(map(json.dumps, own)))
    return place


def as_one_table_per_split(place, rows):
    for split in ("train", "val"):
        own = [{"image": r["image"], "label": r["label"]} for r in rows if r["split"] == split]
        (place / f"{split}.jsonl").write_text("\n".join(map(json.dumps, own)))
    return place


def as_python(place, rows):
    return ({**row, "image": place / row["image"]} for row in rows)


def with_class_label(place, rows, split):
    datasets = pytest.importorskip("datasets")
    names = ["blue", "green", "red"]
    own = [row for row in rows if row["split"] == split]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=names)})
    columns = {
        "image": [{"bytes": content(place / row["image"]), "path": None} for row in own],
        "label": [names.index(row["label"]) for row in own],
    }
    return datasets.Dataset.from_dict(columns, features=features)


def as_datasets_directory(place, rows):
    datasets = pytest.importorskip("datasets")
    parts = {
        name: with_class_label(place, rows, split) for name, split in (("train", "train"), ("dev", "val"))
    }
    datasets.DatasetDict(parts).save_to_disk(place / "saved")
    return place / "saved"


LAYOUTS = [
    as_json,
    as_jsonl,
    as_json_lines_called_json,
    as_csv,
    as_tsv,
    as_csv_of_a_spreadsheet,
    as_parquet_of_paths,
    as_parquet_of_bytes,
    as_parquet_of_both,
    as_parquet_of_plain_bytes,
    as_class_folders,
    as_metadata,
    as_metadata_in_each_split,
    as_one_table_per_split,
    as_python,
    as_datasets_directory,
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__.removeprefix("as_"))
def test_every_layout_gives_the_same_examples(layout, place, rows, read):
    labelled = read(layout(place, rows))
    assert labelled.problems == ()
    assert labelled.counts() == {"train": 9, "validation": 3}
    assert labelled.kind == "label"
    assert plain(labelled) == [
        (
            "train" if row["split"] == "train" else "validation",
            "What is this?",
            row["label"],
            (row["label"],),
            None,
            content(place / row["image"]),
        )
        for row in rows
    ]
    assert len({one.row for one in labelled}) == 12


def test_rows_are_numbered_by_line_in_text_and_by_place_elsewhere(place, rows, read):
    assert [one.row for one in read(as_jsonl(place, rows))] == [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23]
    assert [one.row for one in read(as_csv(place, rows))] == list(range(2, 14))
    assert [one.row for one in read(as_json(place, rows))] == list(range(1, 13))
    (place / "long.csv").write_text('image,answer\n"train/red/0.png","two\nlines"\ntrain/red/1.png,b\n')
    found = read(place / "long.csv")
    assert [(one.row, one.answer) for one in found] == [(2, "two lines"), (4, "b")]
    assert found.examples[1].source == f"{place / 'long.csv'}, line 4"


def test_nothing_is_decoded_while_reading(place, rows, read, monkeypatch):
    from PIL import Image

    layouts = [as_csv(place, rows), as_parquet_of_bytes(place, rows), as_datasets_directory(place, rows)]

    def refuse(*_, **__):
        raise AssertionError("a picture was decoded")

    monkeypatch.setattr(Image, "open", refuse)
    for layout in layouts:
        assert len(read(layout)) == 12


def test_media_in_a_parquet_file_are_read_when_they_are_used(place, rows, read, plugins):
    file = as_parquet_of_bytes(place, rows)
    labelled = read(file)
    stored = labelled.examples[7].media["image"][0]
    assert stored.name == f"{file}, row 8"
    assert pickle.loads(pickle.dumps(stored)).read() == stored.read() == content(place / rows[7]["image"])
    assert check(labelled, plugins).clean
    file.write_bytes(b"gone")
    opened_anew = pickle.loads(pickle.dumps(stored))
    with pytest.raises(UserError, match=r"rows\.parquet cannot be read any more"):
        opened_anew.read()


def test_numbers_of_classes_become_names(place, rows, read):
    names = ["blue", "green", "red"]
    numbered = [{**row, "label": names.index(row["label"])} for row in rows]
    (place / "names.txt").write_text("blue\ngreen\n\nred\n")
    file = as_json(place, numbered)
    wanted = [row["label"] for row in rows]
    assert [one.answer for one in read(file, names=place / "names.txt")] == wanted
    assert [one.answer for one in read(file, names={0: "blue", 1: "green", 2: "red"})] == wanted
    unnamed = read(file)
    assert [one.answer for one in unnamed] == [str(row["label"]) for row in numbered]
    assert any("--names" in note for note in unnamed.notes)
    short = read(file, names=["blue", "green"])
    assert {problem.what for problem in short.problems} == {"its label is 2, and the names are for 0 to 1."}


def test_names_that_datasets_wrote_into_a_parquet_file_are_found(place, rows, read):
    with_class_label(place, rows, "train").to_parquet(place / "rows.parquet")
    assert [one.answer for one in read(place / "rows.parquet")] == [
        r["label"] for r in rows if r["split"] == "train"
    ]


def test_a_data_set_in_memory_after_a_shuffle(place, rows, read):
    shuffled = with_class_label(place, rows, "train").shuffle(seed=1)
    assert [one.answer for one in read(shuffled)] == [
        shuffled.features["label"].int2str(number) for number in shuffled["label"]
    ]
    assert (
        content(read(shuffled).examples[2].media["image"][0])
        == shuffled.data["image"][shuffled._indices.column(0)[2].as_py()]["bytes"].as_py()
    )


def test_a_class_may_be_called_like_a_split(tmp_path, read):
    from PIL import Image

    for name in ("train", "bus"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / name / "0.png")
    labelled = read(tmp_path)
    assert [(one.answer, one.split) for one in labelled] == [("bus", None), ("train", None)]


def test_fifty_thousand_rows_are_read_in_seconds(place, rows, lines, read):
    import time

    many = [{**rows[at % 12], "question": f"which is number {at}?"} for at in range(50_000)]
    file = lines(many)
    start = time.process_time()
    assert len(read(file)) == 50_000
    assert time.process_time() - start < 15  # seconds of this process; 2 on an idle machine
