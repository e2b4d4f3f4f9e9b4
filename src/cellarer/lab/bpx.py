"""Battery Parameter eXchange (BPX, Faraday Institution): read what an equivalent circuit can use, write what it knows.

BPX describes physics models: electrodes, electrolyte, particles. Read: open-circuit curve of the full cell (positive
less negative electrode over their stoichiometries), its branches where both are given, capacity, voltage limits, and
the experiments of section Validation. Written: model "Partial" with everything of a cell file as tables of section
User-defined; area, thicknesses and diffusivities are unknown to a cell file and left out. Not read: blended electrodes.
Source: schema of the package `bpx` 1.1 (MIT); expressions of `x` are evaluated here, not by Python.
"""

import ast
import json
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellarer.cells import Cell
from cellarer.lab.error import LabError

Floats = NDArray[np.float64]

VERSION = "1.1.0"
KELVIN = 273.15
OPERATORS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}  # fmt: skip
FUNCTIONS = {name: getattr(np, name) for name in ("exp", "tanh", "sinh", "cosh", "sin", "cos", "tan", "log", "sqrt")}
FUNCTIONS["abs"] = np.abs
PERCENT = np.arange(0.0, 100.5, 1.0)
FINE = np.linspace(0.0, 1.0, 201)  # SOC: near empty a negative electrode falls by 0.1 V per per cent
CELL_V, FALLS_V = (0.3, 5.5), 0.02  # V of a full cell; how far its curve may fall towards full


@dataclass(frozen=True, slots=True, eq=False)
class Parameters:
    """What a BPX file tells of the full cell: curve and half of the gap of its branches over `soc`, (point,) V."""

    title: str
    capacity_Ah: float
    low_V: float
    high_V: float
    temp_degC: float
    soc: Floats
    ocv: Floats
    half_gap: Floats  # NaN: no branches
    experiments: Mapping[str, Mapping[str, Floats]]  # name → time_s, current_A, voltage_V, maybe temperature_degC


def read(path: Path) -> Parameters:
    """Read a BPX file. Raises LabError."""
    if not path.is_file():
        raise LabError(str(path), "file", "nothing", "a BPX file (JSON)")
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise LabError(str(path), "text", str(error).split("\n")[0], "JSON") from None
    if not isinstance(tree, dict) or not isinstance(tree.get("Parameterisation"), dict):
        raise LabError(str(path), "text", repr(tree)[:60], "Header and Parameterisation of BPX")
    parts = tree["Parameterisation"]
    cell, own, header = (_section(path, name, of.get(name)) for name, of in
                         (("Cell", parts), ("User-defined", parts), ("Header", tree)))  # fmt: skip
    soc = FINE
    if "Open-circuit voltage [V]" in own:
        curve = _function(path, "Open-circuit voltage [V]", own["Open-circuit voltage [V]"], soc)
        half = _function(path, "hysteresis", own.get("Open-circuit voltage hysteresis, half [V]", np.nan), soc)
    else:
        curve, half = _full_cell(path, parts, soc)
    _check_curve(path, soc, curve)

    def told(key: str, otherwise: float = np.nan) -> float:
        return _number(path, key, cell.get(key, own.get(key, otherwise)))

    return Parameters(
        str(header.get("Title", path.stem)), told("Nominal cell capacity [A.h]"),
        told("Lower voltage cut-off [V]"), told("Upper voltage cut-off [V]"),
        told("Reference temperature [K]", KELVIN + 25.0) - KELVIN,
        soc, np.maximum.accumulate(curve), half,
        _experiments(path, _section(path, "Validation", tree.get("Validation"))),
    )  # fmt: skip


def _section(path: Path, name: str, value: object) -> Mapping[str, Any]:
    """A section that may be missing or null."""
    if value is None or isinstance(value, dict):
        return value or {}
    raise LabError(str(path), name, repr(value)[:60], "a section with names and values, in braces")


def _number(path: Path, key: str, value: object) -> float:
    if isinstance(value, int | float):
        return float(value)
    raise LabError(str(path), key, repr(value)[:60], "a number")


def _numbers(path: Path, key: str, value: object) -> Floats:
    try:
        found = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise LabError(str(path), key, repr(value)[:60], "a list of numbers") from None
    return np.atleast_1d(found)


def _check_curve(path: Path, soc: Floats, curve: Floats) -> None:
    """Refuse what no full cell can show."""
    odd = ~((curve > CELL_V[0]) & (curve < CELL_V[1]))
    if odd.any():
        raise LabError(
            str(path), "OCP [V]", f"a full cell of {curve[odd][0]:.4g} V at SOC {100 * soc[odd][0]:.0f} %",
            f"{CELL_V[0]:g} to {CELL_V[1]:g} V, positive less negative electrode",
        )  # fmt: skip
    fallen = np.maximum.accumulate(curve) - curve
    if float(fallen.max()) > FALLS_V:
        raise LabError(
            str(path), "OCP [V]", f"a full cell that falls by {1e3 * float(fallen.max()):.0f} mV towards full",
            "stoichiometries from empty to full in the order of BPX, minimum below maximum",
        )  # fmt: skip


def _full_cell(path: Path, tree: Mapping[str, Any], soc: Floats) -> tuple[Floats, Floats]:
    """Curve and half gap from the electrodes: the negative one fills while the positive one empties."""
    found: dict[str, Floats] = {}
    for name, way in (("Negative electrode", 1.0), ("Positive electrode", -1.0)):
        electrode = _section(path, name, tree.get(name))
        keys = ("Minimum stoichiometry", "Maximum stoichiometry", "OCP [V]")
        lacks = [key for key in keys if electrode.get(key) is None]
        if lacks:
            what = "a blend" if "Particle" in electrode else f"no {', '.join(lacks)}"
            raise LabError(str(path), name, what, f"one active material with {', '.join(keys)}")
        low, high = (_number(path, f"{name}, {key}", electrode[key]) for key in keys[:2])
        if not 0.0 <= low < high <= 1.0:
            raise LabError(str(path), name, f"stoichiometries {low:g} to {high:g}", "0 <= minimum < maximum <= 1")
        x = low + soc * (high - low) if way > 0.0 else high - soc * (high - low)
        for key, branch in (("OCP [V]", "mean"), ("OCP (lithiation) [V]", "in"), ("OCP (delithiation) [V]", "out")):
            value = electrode.get(key)
            found[f"{name} {branch}"] = _function(path, key, value if value is not None else np.nan, x)
    full = found["Positive electrode mean"] - found["Negative electrode mean"]
    both = {}
    for direction, positive, negative in (("charge", "out", "in"), ("discharge", "in", "out")):
        p, n = found[f"Positive electrode {positive}"], found[f"Negative electrode {negative}"]
        p = np.where(np.isfinite(p), p, found["Positive electrode mean"])
        both[direction] = p - np.where(np.isfinite(n), n, found["Negative electrode mean"])
    with np.errstate(invalid="ignore"):
        half = 0.5 * (both["charge"] - both["discharge"])
    return full, np.where(np.abs(half) > 0.0, np.maximum(half, 0.0), np.nan)


def _function(path: Path, key: str, value: object, x: Floats) -> Floats:
    """A number, a table {x, y} or an expression of x."""
    if isinstance(value, int | float):
        return np.full_like(x, float(value))
    if isinstance(value, dict) and {"x", "y"} <= set(value):
        at, y = _numbers(path, key, value["x"]), _numbers(path, key, value["y"])
        if at.shape != y.shape or at.size < 2:
            raise LabError(str(path), key, f"{at.size} x and {y.size} y", "as many y as x, two at least")
        order = np.argsort(at)
        return np.asarray(np.interp(x, at[order], y[order]))
    if isinstance(value, str):
        try:
            with np.errstate(all="ignore"):  # what comes out is looked at
                return np.broadcast_to(np.asarray(_evaluate(ast.parse(value, mode="eval").body, x), float), x.shape)
        except (ArithmeticError, SyntaxError, KeyError, TypeError) as error:
            raise LabError(str(path), key, f"{value[:60]!r} ({error})", "an expression of x") from None
    raise LabError(str(path), key, repr(value)[:60], "a number, a table of x and y, or an expression of x")


def _evaluate(node: ast.AST, x: Floats) -> Any:
    """Evaluate an expression: numbers, x, + − × ÷ powers and the functions that BPX names; nothing else."""
    match node:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id="x"):
            return x
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_evaluate(inner, x)
        case ast.UnaryOp(op=ast.UAdd(), operand=inner):
            return _evaluate(inner, x)
        case ast.BinOp(left=left, op=op, right=right):
            return OPERATORS[type(op)](_evaluate(left, x), _evaluate(right, x))
        case ast.Call(func=ast.Name(id=name), args=[inner], keywords=[]):
            return FUNCTIONS[name](_evaluate(inner, x))
    raise TypeError(type(node).__name__)


def _experiments(path: Path, tree: Mapping[str, Any]) -> dict[str, dict[str, Floats]]:
    out = {}
    for name, section in tree.items():
        columns = _section(path, f"Validation, {name}", section)
        keys = {"time_s": "Time [s]", "current_A": "Current [A]", "voltage_V": "Voltage [V]"}
        lacks = [key for key in keys.values() if key not in columns]
        if lacks:
            raise LabError(str(path), f"Validation, {name}", f"no {', '.join(lacks)}", ", ".join(keys.values()))
        if columns.get("Temperature [K]") is not None:
            keys["temperature_degC"] = "Temperature [K]"
        out[name] = {key: _numbers(path, f"{name}, {theirs}", columns[theirs]) for key, theirs in keys.items()}
        sizes = {theirs: out[name][key].size for key, theirs in keys.items()}
        if len(set(sizes.values())) > 1:
            text = ", ".join(f"{size} of {theirs}" for theirs, size in sizes.items())
            raise LabError(str(path), f"Validation, {name}", text, "as many values in each list")
        if "temperature_degC" in out[name]:
            out[name]["temperature_degC"] = out[name]["temperature_degC"] - KELVIN
    return out


def write(path: Path, cell: Cell) -> None:
    """Write a cell as BPX, model Partial: tables over SOC (x, fraction), one per temperature where it matters."""
    model = cell.model
    soc = PERCENT / 100.0
    grid = np.linspace(0.0, 1.0, model.ocv.shape[1])

    def over_soc(row: Floats) -> dict[str, list[float]]:
        return {"x": soc.tolist(), "y": [round(float(v), 9) for v in np.interp(soc, grid, row)]}

    near = int(np.argmin(np.abs(model.temp_degC - 25.0)))
    own: dict[str, Any] = {
        "description": "Equivalent circuit: v = ocv + h M + R0 g(i) + R1 i1 + R2 i2; + charges; x is SOC",
        "Nominal cell capacity [A.h]": model.capacity_Ah,
        "Open-circuit voltage [V]": over_soc(model.ocv[near]),
        "Open-circuit voltage hysteresis, half [V]": over_soc(model.hysteresis[near]),
        "Open-circuit voltage hysteresis rate": model.hysteresis_rate,
        "Entropic change coefficient [V.K-1]": over_soc(model.entropy),
        "Heat capacity, core [J.K-1]": model.heat_capacity_core,
        "Heat capacity, surface [J.K-1]": model.heat_capacity_surface,
        "Thermal resistance, core to surface [K.W-1]": model.core_to_surface,
        "Thermal resistance, surface to ambient [K.W-1]": model.surface_to_ambient,
    }
    for k, celsius in enumerate(model.temp_degC.tolist()):
        at = f"at {celsius + KELVIN:.2f} K"
        own[f"Open-circuit voltage {at} [V]"] = over_soc(model.ocv[k])
        for name, rows in (("R0", model.r0), ("R1", model.r1), ("R2", model.r2)):
            own[f"{name} {at} [Ohm]"] = over_soc(rows[k])
        own[f"Time constant 1 {at} [s]"], own[f"Time constant 2 {at} [s]"] = float(model.tau1[k]), float(model.tau2[k])
        if model.exchange_A[k] < 1e8:
            own[f"Exchange current {at} [A]"] = float(model.exchange_A[k])
    header = {
        "BPX": VERSION, "Title": model.title, "Model": "Partial",
        "Description": f"{model.chemistry}; estimated, not measured: {', '.join(cell.estimated) or 'nothing'}",
        "References": "; ".join(f"{key}: {text}" for key, text in cell.sources.items()),
    }  # fmt: skip
    tree = {"Header": header, "Parameterisation": {"User-defined": own}}
    path.write_text(json.dumps(tree, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
