"""Data sets of Hugging Face's `datasets`: a folder that it saved, or a name on the hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmagent.data.arrow import class_names, holds_media, needed, stored_cell
from mmagent.data.labelled import split_name
from mmagent.data.table import Cells, Table, joined
from mmagent.errors import UserError

__all__ = ["HUB", "is_saved", "read_hub", "read_loaded", "read_saved"]

HUB = "hf:"
BATCH = 1000  # rows looked through at a time


def is_saved(place: Path) -> bool:
    """Whether `datasets` saved this folder."""
    return (place / "dataset_dict.json").is_file() or (place / "state.json").is_file()


def read_saved(place: Path) -> Table:
    """A folder written by `save_to_disk`. Raises UserError."""
    datasets = needed("datasets", "folders that datasets saved")
    try:
        loaded = datasets.load_from_disk(str(place))
    except (OSError, ValueError) as error:
        raise UserError(f"{place} is not a whole data set: {_line(error)}. Save it again.") from error
    return read_loaded(loaded, str(place))


def read_hub(name: str) -> Table:
    """A data set by its hub name, "owner/name" or "owner/name:configuration". Raises UserError."""
    datasets = needed("datasets", "data sets of the hub")
    address, _, configuration = name.removeprefix(HUB).partition(":")
    try:
        loaded = datasets.load_dataset(address, configuration or None)
    except Exception as error:  # the hub, the network and the data set each raise their own
        raise UserError(
            f"there is no folder or file {name}, and the hub gives no data set by that name: {_line(error)}. "
            "Check the name and the network."
        ) from error
    return read_loaded(loaded, name)


def read_loaded(loaded: Any, name: str) -> Table:
    """A `Dataset` or `DatasetDict` in memory."""
    if isinstance(loaded, Mapping):
        parts = {split: (_table(one, f"{name}, {split}"), split_name(split)) for split, one in loaded.items()}
        return joined(parts, "a datasets directory with splits")
    return _table(loaded, name)


def _table(dataset: Any, name: str) -> Table:
    schema = dataset.features.arrow_schema
    media = [field.name for field in schema if holds_media(field.type)]
    plain = [column for column in schema.names if column not in media]
    count = len(dataset)
    cells: list[dict[str, Any]] = [{} for _ in range(count)]
    if plain and count:
        cells = dataset.select_columns(plain).with_format("arrow")[:].to_pylist()
    for column in media:
        stored = _StoredColumn(dataset.select_columns([column]).with_format("arrow"))
        for at, content in enumerate(stored.contents()):
            cells[at][column] = stored_cell(content, stored, at, f"{name}, row {at + 1}")
    rows = [Cells(at, f"row {at}", row) for at, row in enumerate(cells, start=1)]
    names = class_names(dataset.features.to_dict())
    return Table("a datasets directory", tuple(schema.names), rows, names)


class _StoredColumn:
    """One column of a data set that lies on the disk, memory-mapped; nothing of it is decoded."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __call__(self, at: int) -> Any:
        return self._dataset[at].column(0)[0].as_py()

    def contents(self) -> Any:
        """Every cell with True in the place of its bytes."""
        compute = needed("pyarrow.compute", "data sets")
        types = needed("pyarrow.types", "data sets")
        for start in range(0, len(self._dataset), BATCH):
            column = self._dataset[start : start + BATCH].column(0)
            if not types.is_struct(column.type):
                yield from column.to_pylist()
                continue
            there = compute.is_valid(compute.struct_field(column, "bytes")).to_pylist()
            has_path = column.type.get_field_index("path") >= 0
            paths = compute.struct_field(column, "path").to_pylist() if has_path else [None] * len(there)
            for held, path in zip(there, paths, strict=True):
                yield {"bytes": held, "path": path}


def _line(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200].rstrip(".")
