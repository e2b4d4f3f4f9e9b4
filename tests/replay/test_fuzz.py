"""Whatever a file holds, reading it gives a recording or one clear error, and never touches what is good."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cellarer.lab.tables import TableError
from cellarer.runtime import recording

NAMES = [
    "time_s", "time_ms", "current_A", "current_mA", "voltage_V", "pack_voltage_V", "cell_01_V", "cell_1_mV",
    "cell_02_V", "temperature_degC", "temp_01_degC", "trip", "test_id", "ah_reference", "x", "",
]  # fmt: skip
FIELD = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True).map(str),
    st.integers(-5, 5).map(str),
    st.sampled_from(["", "nan", "NaN", "-", "3,7", "1e400", "0x10", '"', "ä", "  ", "None"]),
)
HEADER = st.lists(st.sampled_from(NAMES), min_size=1, max_size=8)
ROWS = st.lists(st.lists(FIELD, max_size=9), max_size=12)
SEPARATOR = st.sampled_from([",", ";", "\t"])


def read(text: str) -> recording.Recording | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        path.write_text(text, encoding="utf-8")
        try:
            return recording.read(path)
        except TableError as error:
            assert str(path) in str(error)
            return None


@settings(max_examples=150)
@given(HEADER, ROWS, SEPARATOR)
def test_any_table_is_read_or_refused(header: list[str], rows: list[list[str]], separator: str) -> None:
    whole = [["time_s", "current_A", "voltage_V", *header]] + [["1", "1", "3.7", *row] for row in rows]
    for lines in ([header, *rows], whole):
        found = read("\n".join(separator.join(line) for line in lines))
        if found is not None:
            assert np.isfinite(found.time_s[found.good]).all()
            assert np.isfinite(found.current_A[found.good]).all()
            assert sum(f.rows for f in found.findings if "some cells" not in f.what) >= (~found.good).sum()


TIMES = st.lists(
    st.one_of(st.floats(0.0, 1e6), st.just(float("nan")), st.integers(0, 5).map(float)), min_size=1, max_size=40
)


@settings(max_examples=150)
@given(TIMES)
def test_good_rows_rise_in_time_within_each_run(times: list[float]) -> None:
    found = read("time_s,current_A,voltage_V\n" + "\n".join(f"{t!r},1,3.7" for t in times))
    if found is None:
        return
    for run in range(len(found.run_labels)):
        assert (np.diff(found.time_s[found.good & (found.run == run)]) > 0.0).all()


@settings(max_examples=60)
@given(st.text(max_size=200))
def test_any_text_is_refused_or_read(text: str) -> None:
    read(text.encode("utf-8", errors="ignore").decode("utf-8"))
