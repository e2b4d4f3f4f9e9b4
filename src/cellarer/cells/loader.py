"""Cell files → numbers. `load(name_or_path)` reads a shipped cell or any file, checks it and compiles it.

Between measured temperatures resistance and time constants run linearly in their logarithm over 1/T (Arrhenius' law),
voltages linearly over T. Beyond the rows the last values hold; `core` extends resistance a little further.
"""

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from cellarer.cells.ageing import AgeingLaw, compile_ageing
from cellarer.cells.checks import findings
from cellarer.cells.error import CellError, first
from cellarer.cells.hard import hard_caps
from cellarer.cells.schema import CellFile
from cellarer.model.cell import SOC_POINTS, CellLimits, CellModel

Floats = NDArray[np.float64]

DATA = Path(__file__).parent / "data"
TOO_LARGE = 4_000_000  # bytes: a cell file has some 100 kB


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """A cell type: the electrical model, its limits, where the numbers come from and which of them are estimated."""

    model: CellModel
    limits: CellLimits
    sources: dict[str, str]  # key such as "ocv.hysteresis_mV" or section such as "ocv" → source
    estimated: tuple[str, ...]
    form: str
    notes: tuple[str, ...]
    ageing: AgeingLaw | None  # None = the file has no law


def names() -> tuple[str, ...]:
    """Names of the shipped cells, sorted."""
    return tuple(sorted(path.stem for path in DATA.glob("*.toml")))


def load(name_or_path: str | Path) -> Cell:
    """Read, check and compile a cell; a shipped name wins over a file of the same name in the working folder."""
    text = str(name_or_path)
    path = DATA / f"{text}.toml"
    if "/" in text or "\\" in text or text.endswith(".toml") or not path.is_file():
        path = Path(text)
    if not path.is_file():
        raise CellError(text, "cell", text, f"a path of a cell file or one of {', '.join(names())}")
    return _load(str(path), path.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _load(path: str, _changed_ns: int) -> Cell:
    file = Path(path)
    size = file.stat().st_size
    if size > TOO_LARGE:
        raise CellError(path, "size in bytes", size, f"at most {TOO_LARGE}")
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CellError(path, "text", str(error), "valid TOML in UTF-8") from None
    return compile_cell(parse(table, path))


def parse(table: dict[str, object], file: str) -> CellFile:
    """Check a TOML table against the schema and against itself; the first finding becomes a CellError."""
    try:
        cell = CellFile.model_validate(table)
    except ValidationError as error:
        raise CellError(file, *first(error, CellFile)) from None
    for key, value, allowed in findings(cell):
        raise CellError(file, key, value, allowed)
    return cell


def compile_cell(cell: CellFile) -> Cell:
    """Turn a checked file into even tables."""
    sections = {name: getattr(cell, name) for name in ("capacity", "ocv", "resistance", "thermal", "limits", "charge")}
    sections |= {"ageing": cell.ageing} if cell.ageing else {}
    sources = {name: section.source for name, section in sections.items()}
    sources |= {f"{name}.{key}": text for name, section in sections.items() for key, text in section.sources.items()}
    estimated = tuple(cell.estimated)
    return Cell(
        _model(cell), _limits(cell), sources, estimated, cell.form, tuple(cell.notes), compile_ageing(cell.ageing)
    )


def _even(soc_pct: list[float], table: list[list[float]], scale: float) -> Floats:
    grid = np.linspace(0.0, 100.0, SOC_POINTS)
    return np.array([np.interp(grid, soc_pct, row) for row in table]) * scale


def _over_temperature(wanted_degC: Floats, have_degC: Floats, rows: Floats, arrhenius: bool) -> Floats:
    """Rows at other temperatures: linear over T, or linear in the logarithm over 1/T. Flat outside."""
    x = -1.0 / (wanted_degC + 273.15) if arrhenius else wanted_degC
    xp = -1.0 / (have_degC + 273.15) if arrhenius else have_degC
    values = np.log(np.maximum(rows, 1e-9)) if arrhenius else rows
    flat = values.reshape(len(have_degC), -1)
    out = np.stack([np.interp(x, xp, flat[:, k]) for k in range(flat.shape[1])], axis=1)
    out = out.reshape((len(wanted_degC), *rows.shape[1:]))
    return np.asarray(np.exp(out)) if arrhenius else out


def _ocv_rows(cell: CellFile, temp_degC: Floats, entropy: Floats) -> Floats:
    """OCV at the wanted temperatures; a table measured at one temperature is shifted by the entropy coefficient."""
    have = np.array(cell.ocv.temperature_degC)
    rows = _even(cell.ocv.soc_pct, cell.ocv.ocv_V, 1.0)
    if len(have) == 1:
        shifted = rows + (temp_degC - have[0])[:, None] * entropy[None, :]
        return np.asarray(np.maximum.accumulate(shifted, axis=1))
    return _over_temperature(temp_degC, have, rows, arrhenius=False)


def _model(cell: CellFile) -> CellModel:
    """Compile the electrical and thermal part."""
    r, thermal = cell.resistance, cell.thermal
    temp_degC = np.array(sorted(set(cell.ocv.temperature_degC) | set(r.temperature_degC)), dtype=np.float64)
    grid = np.linspace(0.0, 100.0, SOC_POINTS)
    entropy = np.interp(grid, thermal.entropy_soc_pct, thermal.entropy_mV_per_K) * 1e-3
    at, have_ocv = np.array(r.temperature_degC), np.array(cell.ocv.temperature_degC)
    hysteresis = _even(cell.ocv.soc_pct, cell.ocv.hysteresis_mV, 1e-3)

    def over(rows: Floats) -> Floats:
        return _over_temperature(temp_degC, at, rows, arrhenius=True)

    exchange = np.minimum(np.array(r.exchange_A), 1e9)
    exchange_A = over(exchange)
    return CellModel(
        name=cell.name, title=cell.title, chemistry=cell.chemistry,
        capacity_Ah=cell.capacity.capacity_Ah, rated_Ah=cell.capacity.rated_Ah,
        capacity_sigma=1e-2 * cell.capacity.capacity_sigma_pct, temp_degC=temp_degC,
        ocv=_ocv_rows(cell, temp_degC, entropy),
        hysteresis=_over_temperature(temp_degC, have_ocv, hysteresis, arrhenius=False),
        hysteresis_rate=cell.ocv.hysteresis_rate,
        r0=over(_even(r.soc_pct, r.r0_mohm, 1e-3)),
        r1=over(_even(r.soc_pct, r.r1_mohm, 1e-3)),
        r2=over(_even(r.soc_pct, r.r2_mohm, 1e-3)),
        tau1=over(np.array(r.tau1_s)), tau2=over(np.array(r.tau2_s)),
        exchange_A=np.where(exchange_A > 1e6, np.inf, exchange_A),
        sigma=over(np.array(r.sigma_mV) * 1e-3), doubt_degC=np.array(r.doubt_degC or [25.0]),
        doubt=1e-2 * np.array(r.doubt_pct or [0.0]), entropy=entropy,
        heat_capacity_core=thermal.heat_capacity_core_J_per_K,
        heat_capacity_surface=thermal.heat_capacity_surface_J_per_K,
        core_to_surface=thermal.core_to_surface_K_per_W, surface_to_ambient=thermal.surface_to_ambient_K_per_W,
        self_discharge_per_month=cell.capacity.self_discharge_pct_per_month / 100.0, estimated=tuple(cell.estimated),
    )  # fmt: skip


def _limits(cell: CellFile) -> CellLimits:
    """Compile limits and charge policy."""
    limits, charge = cell.limits, cell.charge

    def three(values: list[float]) -> Floats:
        return np.array(values, dtype=np.float64)

    def given(cap: float | None) -> float:
        return float("nan") if cap is None else cap

    return CellLimits(
        voltage_max=three(limits.voltage_max_V), voltage_min=three(limits.voltage_min_V),
        charge_temp_max_degC=three(limits.charge_temperature_max_degC),
        charge_temp_min_degC=three(limits.charge_temperature_min_degC),
        discharge_temp_max_degC=three(limits.discharge_temperature_max_degC),
        discharge_temp_min_degC=three(limits.discharge_temperature_min_degC),
        charge_A=three(limits.charge_A), discharge_A=three(limits.discharge_A),
        cap_voltage_max=limits.cap_voltage_max_V, cap_voltage_min=limits.cap_voltage_min_V,
        cap_temp_max_degC=given(limits.cap_temperature_max_degC),
        cap_charge_temp_max_degC=given(limits.cap_charge_temperature_max_degC),
        cap_charge_temp_min_degC=given(limits.cap_charge_temperature_min_degC),
        cap_discharge_temp_min_degC=given(limits.cap_discharge_temperature_min_degC),
        cap_charge_A=given(limits.cap_charge_A), cap_discharge_A=given(limits.cap_discharge_A),
        hard=hard_caps(cell.chemistry, cell.capacity.rated_Ah),
        deep_discharge=limits.deep_discharge_V, spread=limits.spread_mV * 1e-3,
        spread_temp_K=limits.spread_temperature_K,
        charge_map_degC=np.array(charge.map_degC), charge_map_A=np.array(charge.map_A),
        charge_voltage=charge.voltage_V, float_voltage=given(charge.float_V),
        tail_A=charge.tail_A, precondition_below=charge.precondition_below_V, precondition_A=charge.precondition_A,
        rebulk_soc=charge.rebulk_soc_pct / 100.0, floor_soc=charge.floor_soc_pct / 100.0,
    )  # fmt: skip
