"""The other side of oracle.py: runs in its own environment, where only PyBaMM is. Reads IN.npz, writes OUT.npz.

PyBaMM's Thevenin model with two RC elements: voltages over them as states, its own solver, current discharges.
"""

import sys

import numpy as np
import pybamm


def solve(given: dict[str, np.ndarray]) -> np.ndarray:
    """Voltage at the times of the drive, V."""
    soc_grid, time_s = given["soc_grid"], given["time_s"]

    def table(name: str, soc: pybamm.Symbol) -> pybamm.Symbol:
        return pybamm.Interpolant(soc_grid, given[name], soc)

    # the current of a row holds until the next one
    edges = np.repeat(time_s, 2)[1:]
    edges[1::2] -= 1e-3
    held = np.repeat(-given["current_A"], 2)[:-1]
    exchange, tau1, tau2 = (float(given[name]) for name in ("exchange_A", "tau1", "tau2"))

    def r0(_temp: pybamm.Symbol, current: pybamm.Symbol, soc: pybamm.Symbol) -> pybamm.Symbol:
        y = (current**2 + 1e-12) ** 0.5 / exchange
        return table("r0", soc) * pybamm.arcsinh(y) / y

    model = pybamm.equivalent_circuit.Thevenin(options={"number of rc elements": 2})
    values = pybamm.ParameterValues({
        "Initial SoC": float(given["soc"]), "Initial temperature [K]": 298.15, "Ambient temperature [K]": 298.15,
        "Cell capacity [A.h]": float(given["capacity_Ah"]), "Nominal cell capacity [A.h]": float(given["capacity_Ah"]),
        "Current function [A]": pybamm.Interpolant(edges, held, pybamm.t),
        "Upper voltage cut-off [V]": 10.0, "Lower voltage cut-off [V]": 0.0,
        "Cell thermal mass [J/K]": 1e9, "Cell-jig heat transfer coefficient [W/K]": 10.0,
        "Jig thermal mass [J/K]": 1e9, "Jig-air heat transfer coefficient [W/K]": 10.0,
        "Open-circuit voltage [V]": lambda soc: table("ocv", soc), "R0 [Ohm]": r0,
        "Element-1 initial overpotential [V]": 0.0, "Element-2 initial overpotential [V]": 0.0,
        "R1 [Ohm]": lambda t, i, soc: table("r1", soc), "C1 [F]": lambda t, i, soc: tau1 / table("r1", soc),
        "R2 [Ohm]": lambda t, i, soc: table("r2", soc), "C2 [F]": lambda t, i, soc: tau2 / table("r2", soc),
        "Entropic change [V/K]": lambda ocv, temp: 0.0 * ocv, "RCR lookup limit [A]": 1e6,
    })  # fmt: skip
    solver = pybamm.IDAKLUSolver(rtol=1e-7, atol=1e-9, options={"dt_max": 0.5, "max_num_steps": 1_000_000})
    simulation = pybamm.Simulation(model, parameter_values=values, solver=solver)
    solution = simulation.solve([0.0, float(time_s[-1])], t_interp=time_s)
    return np.asarray(solution["Voltage [V]"](time_s))


if __name__ == "__main__":
    np.savez(sys.argv[2], voltage=solve(dict(np.load(sys.argv[1]))), version=pybamm.__version__)
