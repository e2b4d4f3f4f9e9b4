"""What would make SOC better known: the advice is worth it, and doing it narrows sigma about as promised."""

import numpy as np

from cellarer.cells import load
from cellarer.core import estimate
from cellarer.core.estimate import numpy_form

DT = 10.0


class Cell:
    """One cell as its file says, and the filter that follows it."""

    def __init__(self, name: str, z: float, told: float, sigma: float) -> None:
        self.model = load(name).model
        self.q, self.z, self.s = self.model.capacity_Ah, z, np.zeros(3)
        self.cfg = estimate.compile_cells([self.model], np.zeros(1, int), np.array([self.q]), np.ones(1))
        self.state = estimate.init(
            self.cfg, np.array([told]), np.array([sigma]), capacity_sigma_Ah=np.array([0.01 * self.q])
        )

    def go(self, current_C: float, seconds: float) -> None:
        i = np.array([current_C * self.q])
        for _ in range(round(seconds / DT)):
            args = self.cfg.tables.node, self.cfg.tables.rows, np.zeros(1, np.int64)
            node = numpy_form.look_up(*args, np.array([self.z]), np.full(1, 25.0))[:, 0]
            v = node[0] + node[1] * self.s[2] + node[2] * i + node[3] * self.s[0] + node[4] * self.s[1]
            self.state = estimate.step(self.cfg, self.state, v, i, np.full(1, 25.0), DT, current_mean=i)
            rates = DT * np.array([node[9], node[10], node[12] * abs(i[0]) / 3600 / self.q])
            self.s += (1 - np.exp(-rates)) * (np.array([i[0], i[0], np.sign(i[0])]) - self.s)
            self.z += i[0] * DT / 3600 / self.q

    @property
    def ocv(self) -> float:
        args = self.cfg.tables.node, self.cfg.tables.rows, np.zeros(1, np.int64)
        return float(numpy_form.look_up(*args, np.array([self.z]), np.full(1, 25.0))[0, 0])

    def advice(self) -> dict[str, estimate.Advice]:
        return {one.action: one for one in estimate.advise(self.cfg, self.state, np.zeros(1, int))[0]}


def test_on_a_flat_curve_a_steep_place_helps_a_rest_does_not_and_it_keeps_its_promise() -> None:
    cell = Cell("lfp_280ah", 0.55, 0.5, 0.09)
    cell.go(-0.2, 300.0)
    said = cell.advice()
    assert "rest" not in said
    above = said["above"]
    assert 3.33 < above.voltage < 3.6
    assert above.promised < 0.5 * above.sigma
    assert str(above).startswith(f"10 min above {above.voltage:.2f} V narrows SOC from ±")
    while cell.ocv < above.voltage:
        cell.go(0.2, 60.0)
    cell.go(0.0, 60.0 * above.minutes)
    then = float(estimate.soc_sigma(cell.cfg, cell.state)[0])
    assert 0.4 * above.promised < then < 2.0 * above.promised, (then, above)
    assert abs(float(estimate.soc(cell.cfg, cell.state)[0]) - cell.z) < 2.0 * then


def test_on_a_sloping_curve_a_rest_helps_and_keeps_its_promise() -> None:
    cell = Cell("panasonic_18650pf", 0.55, 0.45, 0.09)
    cell.go(-1.0, 20.0)
    rest = cell.advice()["rest"]
    cell.go(0.0, 60.0 * rest.minutes)
    then = float(estimate.soc_sigma(cell.cfg, cell.state)[0])
    assert 0.4 * rest.promised < then < 2.0 * rest.promised, (then, rest)
    assert not cell.advice().get("rest"), "what is known needs no rest"
