"""Names of columns → what they hold and in which unit: our own recordings, Battery Data Format, exports of cyclers.

A name is split into words and a unit: `Current(mA)`, `I/mA`, `Current / mA`, `current_mA`, `I [mA]`, `Current#mA` are
the same. Tables, no code, per quantity: first name that a file has wins. Sources of the names: ontology and readers of
the Battery Data Alliance (batterydf, Apache-2.0), PyProBE (BSD-3-Clause), BEEP's documentation, files in the wild.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CLOCK = "h:m:s"  # h:min:s.ms, hh:mm:ss.s, d.hh:mm:ss and the like
# unit → (dimension, factor into ours, added first)
UNITS: dict[str, tuple[str, float, float]] = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), ("time", 1.0, 0.0)),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), ("time", 60.0, 0.0)),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), ("time", 3600.0, 0.0)),
    "ms": ("time", 1e-3, 0.0), "d": ("time", 86400.0, 0.0),
    CLOCK: ("clock", 1.0, 0.0),
    **dict.fromkeys(("a", "amp", "amps", "ampere"), ("current", 1.0, 0.0)),
    **dict.fromkeys(("ma", "milliampere"), ("current", 0.001, 0.0)), "ua": ("current", 1e-6, 0.0),
    **dict.fromkeys(("v", "volt", "volts"), ("voltage", 1.0, 0.0)),
    **dict.fromkeys(("mv", "millivolt"), ("voltage", 0.001, 0.0)), "uv": ("voltage", 1e-6, 0.0),
    **dict.fromkeys(("c", "degc", "celsius", "deg c", "deg. c", "oc"), ("temperature", 1.0, 0.0)),
    **dict.fromkeys(("k", "kelvin"), ("temperature", 1.0, -273.15)),
    **dict.fromkeys(("f", "degf", "fahrenheit", "deg f"), ("temperature", 5.0 / 9.0, -32.0)),
    **dict.fromkeys(("ah", "a.h", "a h", "ampere-hour", "amp-hr", "amphr"), ("charge", 1.0, 0.0)),
    **dict.fromkeys(("mah", "ma.h", "ma h", "mamp-hr"), ("charge", 0.001, 0.0)),
    **dict.fromkeys(("as", "c charge", "coulomb"), ("charge", 1.0 / 3600.0, 0.0)),
}  # fmt: skip
# quantity → dimensions that a unit may have, names without unit, best first; a trailing number of a sensor is left away
NAMES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "time_s": (("time", "clock"), (
        "test time", "total time", "testtime", "totaltime", "run time", "program duration", "prog time", "program time",
        "elapsed time", "time", "~time", "test", "t", "relative time", "testzeit", "laufzeit", "zeit",
        "总时间", "测试时间", "时间", "step time")),
    "current_A": (("current",), (
        "current", "i", "<i>", "cell current", "amps", "cur", "current measured", "i cell", "strom", "电流")),
    "charging_A": (("current",), ("charge current", "charging current", "i charge", "i chg", "ladestrom", "充电电流")),
    "discharging_A": (("current",), (
        "discharge current", "discharging current", "i discharge", "i dchg", "entladestrom", "放电电流")),
    "voltage_V": (("voltage",), (
        "voltage", "cell voltage", "ecell", "ewe-ece", "<ewe>", "ewe", "u", "volts", "vol", "potential",
        "terminal voltage", "voltage measured", "v", "u cell", "spannung", "电压")),
    "temperature_degC": (("temperature",), (
        "surface temperature", "surface temperature t", "cell temperature", "case temperature", "battery temp",
        "battery temperature", "temperature", "temp", "aux temperature", "aux t", "auxtemp", "logtemp", "t",
        "temperature measured", "temperatur", "温度", "ambient temperature", "tenv", "chamber temperature",
        "circuit temperature")),
    "ah_reference": (("charge",), (
        "ah reference", "net capacity", "(q-qo)", "q-qo", "q-q0", "ahbal", "ahaccu", "ah", "capacity")),
    "charged_Ah": (("charge",), (
        "charge capacity", "charging capacity", "q charge", "ahcha", "chg capacity", "chg. cap.", "charge")),
    "discharged_Ah": (("charge",), (
        "discharge capacity", "discharging capacity", "q discharge", "ahdch", "dchg capacity", "dchg. cap.",
        "discharge")),
    "setpoint_degC": (("temperature",), ("temperature setpoint", "chamber setpoint")),
}  # fmt: skip
STATES = (
    "state",
    "status",
    "step type",
    "work mode",
    "step name",
    "stepname",
    "md",
    "mode",
    "step state",
    "工步类型",
    "工步名称",
    "工作模式",
    "状态",
)
STEPS = ("step index", "step number", "step no", "step id", "step", "steps", "ns", "line", "工步号", "工步序号")
MOMENTS = ("unix time", "date time", "datetime", "timestamp", "date", "dpt time", "absolute time", "date and time",
           "system time", "systime", "realtime", "time stamp", "datum", "zeitstempel",
           "绝对时间", "系统时间", "日期")  # fmt: skip
RUNS = ("test_id", "cycle", "trip", "run", "cell_no", "pulse_no", "soc_percent")  # parts of a file, by these names
VAGUE = {"test", "t"}  # names that mean something only with a unit
CELLS = ("cell_id", "cell_no", "cell")


@dataclass(frozen=True, slots=True)
class Found:
    """A column of a file: its name there, the dimension of its unit (or none), factor, what is added first."""

    name: str
    dimension: str
    factor: float
    offset: float


def words_and_unit(name: str) -> tuple[str, str]:
    """Split a column's name; the unit is empty where none is named. Both in lower case, words parted by one space."""
    text = name.strip().lower().replace("µ", "u").replace("℃", "degc").replace("°", "deg").replace("\ufeff", "")
    bracket = re.fullmatch(r"(.*?)\s*[\[(]([^\])]*)[\])][_ ]?\d*", text)
    slash = re.fullmatch(r"(.+?)\s*[/#,]\s*([^/#,]+)", text)
    words, unit = bracket.groups() if bracket else slash.groups() if slash else (text, "")
    words = re.sub(r"[_\s]+", " ", words).strip()
    unit = CLOCK if re.fullmatch(r"[dhmins.: ]*:[mins.: ]*", unit) else unit
    if unit not in UNITS:
        words, unit = (re.sub(r"[_\s]+", " ", text), "") if not bracket else (words, unit)
    if not unit:
        parts = words.split(" ")
        if len(parts) > 1 and parts[-1] in UNITS:
            words, unit = " ".join(parts[:-1]), parts[-1]
    return words, unit


def recognise(names: Sequence[str]) -> dict[str, Found]:
    """Return what is found for each quantity; a unit of another dimension rules a column out."""
    split = {name: words_and_unit(name) for name in names}
    out: dict[str, Found] = {}
    for quantity, (dimensions, wanted) in NAMES.items():
        best: tuple[int, int, str] | None = None
        for at, name in enumerate(names):
            words, unit = split[name]
            bare = re.sub(r"\s*#?\d+$", "", words)
            if unit and (unit not in UNITS or UNITS[unit][0] not in dimensions):
                continue
            if not unit and words in VAGUE:
                continue
            ranks = [wanted.index(w) for w in (words, bare) if w in wanted]
            if ranks and (best is None or (min(ranks), at) < best[:2]):
                best = (min(ranks), at, name)
        if best is not None:
            unit = split[best[2]][1]
            dimension, factor, offset = UNITS[unit] if unit else ("", 1.0, 0.0)
            out[quantity] = Found(best[2], dimension, factor, offset)
    return out


def first_of(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """Name of the first column whose words are among `wanted`."""
    split: Mapping[str, str] = {words_and_unit(name)[0]: name for name in reversed(list(names))}
    return next((split[word] for word in wanted if word in split), None)


def missing(fields: Sequence[str]) -> list[str]:
    """Which of time (or a moment), current and voltage these names lack; none: the line is a header."""
    found = set(recognise(fields)) | ({"time_s"} if first_of(fields, MOMENTS) is not None else set())
    found |= {"current_A"} if {"charging_A", "discharging_A"} <= found else set()
    return [name for name in ("time_s", "current_A", "voltage_V") if name not in found]
