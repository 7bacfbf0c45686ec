"""Long files are read in pieces: memory does not grow with them, and what is read is what is there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmagent_series.reader import SeriesReader
from mmagent_series.series import KEPT_VALUES, InMemory, OnDisk

MEASURE = """
import json, sys
import numpy as np, torch
from mmagent.conformance.probe import peak
from mmagent_series.reader import SeriesReader
torch.set_num_threads(1)
reader = SeriesReader()
encoder = reader.load_encoder("builtin", device=torch.device("cpu"), dtype=torch.float32)
few = reader.load(np.zeros((40, 6)) + np.arange(40)[:, None])
encoder.encode([few]), reader.profile(few)
before = peak()
series = reader.load(sys.argv[1])
told = [series.length, reader.fingerprint(series), reader.profile(series).summary]
told.append(encoder.encode([series]).pooled.isfinite().all().item())
after = peak()
print(json.dumps([*told, (after - before) / 2**20]))
"""


@pytest.mark.parametrize("suffix", ["csv", "npy"])
def test_memory_does_not_grow_with_a_long_file(tmp_path: Path, suffix: str):
    n = 2 * KEPT_VALUES // 6 + 60_000  # 65 MB, all of which at once would be seen
    array = np.random.default_rng(0).normal(size=(n, 6)).round(3)
    place = tmp_path / f"long.{suffix}"
    if suffix == "csv":
        with place.open("w") as stream:
            stream.write("Fx (N),Fy (N),Fz (N),Tx (Nm),Ty (Nm),Tz (Nm)\n")
            np.savetxt(stream, array, "%.3f", ",")
    else:
        np.save(place, array)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(place)], capture_output=True, text=True, check=True, timeout=240
    )
    length, fingerprint, summary, finite, more = json.loads(done.stdout)
    assert (length, finite) == (n, True)
    assert more < 60, f"{more:.0f} MB more than for 40 samples"
    assert summary.startswith(f"series, {n:,} samples of 6 channels")
    if suffix == "npy":
        assert fingerprint == SeriesReader().fingerprint(SeriesReader().load(array))


def test_few_rows_stay_in_memory_and_many_go_to_disk(
    reader: SeriesReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waves: np.ndarray
):
    np.save(tmp_path / "a.npy", waves)
    lines = ["a,b,c", *(",".join(map(repr, row)) for row in waves.tolist())]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    kept = [reader.load(tmp_path / name) for name in ("a.npy", "a.csv")]
    assert all(isinstance(one.samples, InMemory) for one in kept)
    for module in ("series", "arrays"):
        monkeypatch.setattr(f"mmagent_series.{module}.KEPT_VALUES", 100)
    monkeypatch.setattr("mmagent_series.delimited.BLOCK", 17)
    spilled = [reader.load(tmp_path / name) for name in ("a.npy", "a.csv")]
    assert all(isinstance(one.samples, OnDisk) for one in spilled)
    assert list(map(reader.fingerprint, kept)) == list(map(reader.fingerprint, spilled))
    np.testing.assert_array_equal(spilled[1].samples.block(50, 60), waves[50:60])
