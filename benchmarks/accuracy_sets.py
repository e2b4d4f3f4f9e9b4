"""What `accuracy.py` judges on: which files identify and which judge, and the recordings with the truth beside them.

A pattern may end in `@a:b`: only the runs whose column `cycle` is a … b. Truth is charge (design §4), anchored where
the set says that it is known; no truth ever enters the filter. The Na-ion set's Hall sensor adds up to 17 mA: full
twice it counts 3 % more, so its truth is the count less that drift; the filter is given the readings as they are.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import accuracy_plant
import numpy as np
from numpy.typing import NDArray
from pyarrow import Table, parquet

from cellarer.lab.drift import without_drift
from cellarer.lab.identify import identify
from cellarer.lab.readers import Run, columns_of, read
from cellarer.lab.sort import ends_of

Floats = NDArray[np.float64]

P, L, D, N = "panasonic_18650pf", "lg_18650hg2", "dmegc_inr18650", "nissan_leaf_2013"
M, H, U, F, S = "lg_m50_21700", "hakadi_naion_18650", "uw_lipo_5450", "lfp_102Ah_aging", "simulated"
NCA_DEGC = ("25", "10", "0", "n20")
RUNS = 3  # of one file: more of the same kind tell little


@dataclass(frozen=True)
class Split:
    """Which files identify and which judge, as patterns under the data folder."""

    name: str
    chemistry: str  # of the pool that it counts in
    identify: tuple[str, ...]
    judge: tuple[str, ...]
    truth: str = "first"  # the anchor: full at the "first" row, at the "highest" charge, "twice", or by the "source"
    capacity_Ah: float | None = None
    ocv: str | None = None


SPLITS = (
    Split("NCA 18650", "NCA", (f"{P}/ocv*", f"{P}/drive/*Cycle_*"), (f"{P}/drive/*US06*", f"{P}/drive/*LA92*")),
    Split("NCA 18650, temperature left out", "NCA",
          (f"{P}/ocv*", *(f"{P}/drive/{t}deg*Cycle_*" for t in ("25", "0", "n20"))), (f"{P}/drive/10deg*",)),
    Split("NCA 18650, pulses alone identify", "NCA", (f"{P}/ocv*", f"{P}/hppc5*"),
          (f"{P}/drive/*US06*", f"{P}/drive/*LA92*", f"{P}/drive/*Cycle_1*"), capacity_Ah=2.997),
    Split("NMC 18650", "NMC", (f"{L}/*DisCh*", f"{L}/*Cap*", f"{L}/drive/*Mixed[13]*", f"{L}/drive/0deg*"),
          (f"{L}/drive/25*", f"{L}/drive/n20*US06*", f"{L}/drive/n20*Mixed5*")),
    Split("NMC 18650, 25 degC known", "NMC", (f"{L}/*DisCh*", f"{L}/*Cap*", f"{L}/drive/25*", f"{L}/drive/n20*Mixed*"),
          (f"{L}/drive/0deg*", f"{L}/drive/n20*US06*")),
    Split("NMC 2.6 Ah", "NMC", (f"{D}/R1_ocv*", f"{D}/R1_pulse*", f"{D}/R1_dis*"), (f"{D}/R1_random*",)),
    Split("NMC 2.6 Ah, another cell", "NMC", (f"{D}/R1_ocv*", f"{D}/R1_pulse*", f"{D}/R1_dis*"),
          (f"{D}/R[234]_random*", f"{D}/R2_dis*")),
    Split("NMC 21700, 5 Ah", "NMC", (f"{M}/rate_*0p1C*", f"{M}/pulses*", f"{M}/rate_*_1C*"),
          (f"{M}/rate_*0p5C*", f"{M}/rate_*_2C*"), ocv=f"{M}/ocv_25degC.parquet"),
    Split("LiPo pouch, cathode not stated", "other", (f"{U}/cc_1C*@1:4",), (f"{U}/cc_3C*@1:6",), "source", 4.98),
    Split("LMO pouch", "LMO", (f"{N}/cell_c15*", f"{N}/cell_hppc_25*"), (f"{N}/cell_hppc_10*", f"{N}/cell_dis*"),
          "highest"),
    Split("Na-ion 18650", "Na-ion", (f"{H}/static_test_0c5*", f"{H}/static_test_1c-*", f"{H}/static_test_2c*"),
          (f"{H}/static_test_0c75*", f"{H}/static_test_1c25*", f"{H}/static_test_1c5*"), "twice"),
    Split("LFP 102 Ah, charges alone", "LFP charges", (f"{F}/cell_1_ch*@2:9",),
          (f"{F}/cell_1_ch*@100:102", f"{F}/cell_4_ch*@20:22"), "source", 102.0),
    Split("LFP simulated", "LFP", (f"{S}/ocv_*", f"{S}/drive1_*"), (f"{S}/drive[23]_*",), "first",
          accuracy_plant.CAPACITY_AH),
    Split("LFP simulated, one temperature", "LFP", (f"{S}/ocv_*_25", f"{S}/drive1_25"),
          (f"{S}/drive[23]_25", f"{S}/drive[23]_5"), "first", accuracy_plant.CAPACITY_AH),
)  # fmt: skip


# Nothing of what is judged was seen: no file of its temperature, or none of its cell. Filter constants were chosen with
# SPLITS in sight; these say what is left of the figures where the data is another one.
LEFT_OUT = (
    *(
        Split(f"NCA 18650 without {t} degC", "NCA",
              (f"{P}/ocv*", *(f"{P}/drive/{other}deg*" for other in NCA_DEGC if other != t)), (f"{P}/drive/{t}deg*",))
        for t in NCA_DEGC
    ),
    Split("NMC 18650 without drives at 25 degC", "NMC",
          (f"{L}/*DisCh*", f"{L}/*Cap*", f"{L}/drive/0*", f"{L}/drive/n20*"), (f"{L}/drive/25*",)),
    Split("NMC 18650 without 0 degC", "NMC", (f"{L}/25*", f"{L}/n20*", f"{L}/drive/25*", f"{L}/drive/n20*"),
          (f"{L}/drive/0*",)),
    Split("NMC 18650 without -20 degC", "NMC", (f"{L}/25*", f"{L}/0*", f"{L}/drive/25*", f"{L}/drive/0*"),
          (f"{L}/drive/n20*",)),
    Split("NMC 2.6 Ah, cell 1 by cell 2", "NMC", (f"{D}/R2_ocv*", f"{D}/R2_pulse*", f"{D}/R2_dis*"),
          (f"{D}/R1_random*", f"{D}/R1_dis*")),
    Split("NMC 2.6 Ah, cell 2 by cell 1", "NMC", (f"{D}/R1_ocv*", f"{D}/R1_pulse*", f"{D}/R1_dis*"),
          (f"{D}/R2_random*", f"{D}/R2_dis*")),
    Split("NMC 21700 without 0 degC", "NMC", (f"{M}/rate_25*", f"{M}/pulses_25*"), (f"{M}/rate_0*",),
          ocv=f"{M}/ocv_25degC.parquet"),
    Split("NMC 21700 without 25 degC", "NMC", (f"{M}/rate_0*", f"{M}/pulses_0*"), (f"{M}/rate_25*",), "first", 4.945,
          f"{M}/ocv_25degC.parquet"),
    Split("LFP 102 Ah, cell 4 by cell 1", "LFP charges", (f"{F}/cell_1_ch*@2:9",), (f"{F}/cell_4_ch*@20:22",),
          "source", 102.0),
    Split("LFP simulated without 5 degC", "LFP", (f"{S}/ocv_*_25", f"{S}/drive1_25", f"{S}/drive1_-15"),
          (f"{S}/drive[23]_5",), "first", accuracy_plant.CAPACITY_AH),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Trial:
    """One stretch to judge on."""

    run: Run
    truth: Floats  # (row,) SOC
    capacity_Ah: float


def find(folder: Path, patterns: tuple[str, ...], scratch: Path) -> list[Path]:
    """Files of a split that this folder has; simulated ones and cut ones are written into `scratch`."""
    accuracy_plant.write(scratch / S)
    found = []
    for pattern in patterns:
        name, _, cut = pattern.partition("@")
        home = scratch if name.startswith(S) else folder
        paths = sorted(home.glob(name + ".parquet"))
        found += [_cut(path, cut, scratch) for path in paths] if cut else paths
    return list(dict.fromkeys(found))


def _cut(path: Path, cut: str, scratch: Path) -> Path:
    """A copy with the cycles a … b."""
    low, high = (int(x) for x in cut.split(":"))
    table = columns_of(path)
    rows = (np.asarray(table["cycle"]) >= low) & (np.asarray(table["cycle"]) <= high)
    out = scratch / f"{path.stem}_{low}_{high}.parquet"
    parquet.write_table(Table.from_pydict({key: value[rows] for key, value in table.items()}), out)
    return out


def cell_file(split: Split, folder: Path, scratch: Path) -> tuple[Path, float, list[tuple[float, float]], int] | None:
    """Identify: (cell file, capacity in Ah, (degC, fit in V) per temperature, files used); None = no data here."""
    sources = find(folder, split.identify, scratch)
    if not sources or not find(folder, split.judge, scratch):
        return None
    found = identify(sources, "cell", split.capacity_Ah, None if split.ocv is None else folder / split.ocv)
    path = scratch / (split.name.replace(" ", "_").replace(",", "") + ".toml")
    path.write_text(found.text, encoding="utf-8")
    return path, found.capacity_Ah, [(part.temp_degC, part.rmse) for part in found.fitted], len(sources)


def trials(split: Split, folder: Path, scratch: Path, capacity_Ah: float) -> Iterator[Trial]:
    """All stretches that judge this split."""
    for file in find(folder, split.judge, scratch):
        for run in read(file)[: RUNS if split.truth != "source" else None]:
            whole = replace(run, label=f"{file.stem}#{run.label.rpartition('#')[2]}")
            if split.truth == "source":
                yield from _by_source(whole, file, capacity_Ah)
            else:
                # full before and after a discharge: what the count differs by is the set's cheap current sensor
                counted = without_drift(run, ends_of([run], capacity_Ah), []) if split.truth == "twice" else run
                charge = counted.charge_Ah - (
                    counted.charge_Ah[0] if split.truth == "first" else counted.charge_Ah.max()
                )
                yield Trial(whole, 1.0 + charge / capacity_Ah, capacity_Ah)


def _by_source(run: Run, file: Path, capacity_Ah: float) -> Iterator[Trial]:
    """Ageing charges run from empty to full: their Ah are the capacity. Steady cycles: SOC as the source counted it."""
    table = columns_of(file)
    if "soc_source" in table:
        total = float(run.charge_Ah[-1])
        yield Trial(run, run.charge_Ah / total, total)
        return
    soc = np.asarray(table["soc_source_percent"], dtype=np.float64)[: len(run.time_s)] / 85.8  # % at 4.1 V and 1C
    yield Trial(run, float(soc[0]) + run.charge_Ah / capacity_Ah, capacity_Ah)
