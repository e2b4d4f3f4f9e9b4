"""Bad laboratory files are recognised and named: sign, unit, columns, truncation; good ones are cut into runs."""

from pathlib import Path

import numpy as np
import pytest

from cellarer.lab.error import LabError
from cellarer.lab.readers import read

HERE = Path(__file__).resolve().parents[2] / "data"


def written(tmp_path: Path, columns: dict[str, np.ndarray], name: str = "rec.csv") -> Path:
    """A CSV of these columns."""
    path = tmp_path / name
    rows = zip(*columns.values(), strict=True)
    path.write_text(
        ",".join(columns) + "\n" + "\n".join(",".join(f"{x:.6g}" for x in row) for row in rows), encoding="utf-8"
    )
    return path


def pulses(sign: float = 1.0, volts: float = 1.0, amperes: float = 1.0) -> dict[str, np.ndarray]:
    """Pulses of 2 A on 30 mohm."""
    t = np.arange(400.0)
    i = np.where((t // 20) % 2 == 0, 0.0, -2.0)
    return {"time_s": t, "current_A": sign * amperes * i, "voltage_V": volts * (3.7 + 0.03 * i)}


def test_a_good_file_is_read_with_its_charge(tmp_path: Path) -> None:
    run = read(written(tmp_path, pulses()))[0]
    assert run.charge_Ah[-1] == pytest.approx(-2.0 * 200.0 / 3600.0, rel=0.02)
    assert not run.counted
    assert (run.temp_degC == 25.0).all()


def test_swapped_sign_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="sign is swapped"):
        read(written(tmp_path, pulses(sign=-1.0)))


def test_millivolts_are_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="millivolts"):
        read(written(tmp_path, pulses(volts=1000.0)))


def test_missing_column_is_named(tmp_path: Path) -> None:
    columns = pulses()
    del columns["voltage_V"]
    columns["x"] = columns["time_s"]
    with pytest.raises(LabError, match="voltage_V"):
        read(written(tmp_path, columns))


def test_truncated_parquet_is_named(tmp_path: Path) -> None:
    source = (HERE / "lg_18650hg2" / "25degC_Cap_1C_551.parquet").read_bytes()
    path = tmp_path / "cut.parquet"
    path.write_bytes(source[: len(source) // 2])
    with pytest.raises(LabError, match="whole Parquet"):
        read(path)


def test_time_that_goes_back_is_named(tmp_path: Path) -> None:
    columns = pulses()
    columns["time_s"] = columns["time_s"][::-1].copy()
    with pytest.raises(LabError, match="go back"):
        read(written(tmp_path, columns))


def test_restarting_time_cuts_runs() -> None:
    runs = read(HERE / "dmegc_inr18650" / "R1_random_walk.parquet")
    assert len(runs) == 50
    assert all(run.time_s[0] == 0.0 and (np.diff(run.time_s) > 0).all() for run in runs)
