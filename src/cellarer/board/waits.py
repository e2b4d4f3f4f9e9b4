"""What a charge waits for that is not its phase: a limit that leaves nothing, or a machine that stops short."""

import numpy as np

from cellarer.model.config import Config
from cellarer.model.reasons import REASONS
from cellarer.model.values import ChargePhase, State

WAITING = (ChargePhase.PRECONDITION, ChargePhase.REFILL, ChargePhase.BULK, ChargePhase.ABSORPTION)
SHORT_V = 0.05  # V below its end of charge: cells that stand so high at no current are held there by a machine, or full


def waits(config: Config, state: State, string: int) -> str:
    """Say what binds where (nearly) no current may flow in, or that what may does not flow; else nothing."""
    table, window, phase = config.limits, state.window, int(state.charging.phase[string])
    may_A, reason = float(window.charge_A[string]), REASONS[int(window.charge_reason[string])]
    if phase not in WAITING or reason == "recovering":
        return ""
    if may_A < float(table.tail_A[string]):
        if reason == "temperature low" and may_A == 0.0:
            return coldest(config, state, string)
        return f"{may_A:.2f} A may flow in now, because of: {reason}"
    current = float(state.seen.value[config.layout.where["current"]][string])
    high_V, end_V = float(state.charging.decided_V[0, string]), float(table.end_of_charge_V[string])
    if phase == ChargePhase.BULK and end_V - SHORT_V < high_V and abs(current) <= config.idle_A[string]:
        volts = float(state.seen.value[config.layout.where["string_voltage"]][string])
        return (
            f"the machine stops short, or nothing charges: {current:.1f} A at {volts:.2f} V, "
            f"{may_A:.1f} A are allowed up to {float(window.charge_V[string]):.2f} V"
        )
    return ""


def coldest(config: Config, state: State, string: int) -> str:
    """Say at what temperature charging begins, and what is now."""
    least, cold = _begins(config, state, string)
    return f"charging begins above {least:.0f} °C; the coldest sensor has {cold:.1f} °C"


def refills(config: Config, state: State, string: int) -> str:
    """Say how a string that opened empty comes back, and what warmth is missing for that."""
    least, cold = _begins(config, state, string)
    colder = f"; {coldest(config, state, string)}" if cold <= least else ""
    return f"with a charger present it closes to be charged{colder}"


def _begins(config: Config, state: State, string: int) -> tuple[float, float]:
    """Return above what temperature charging begins, and the coldest of now, degC; NaN = unknown."""
    layout = config.layout
    cold = state.seen.value[layout.where["temp_degC"]][layout.string_of_temp == string]
    allowed = np.flatnonzero(config.limits.map_A[string] > 0.0)
    least = float(config.limits.map_degC[string][max(int(allowed[0]) - 1, 0)]) if allowed.size else float("nan")
    fades = float(config.limits.charge_cold_degC[string])  # the limit falls to zero here, whatever the map says
    return float(np.fmax(least, fades)), float(cold.min(initial=np.inf))
