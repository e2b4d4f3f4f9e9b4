"""Hard caps of the chemistries (hard_caps.toml) in amperes and degrees of one cell."""

import tomllib
from functools import lru_cache
from pathlib import Path

from cellarer.model.cell import HardCaps

FILE = Path(__file__).with_name("hard_caps.toml")


@lru_cache(maxsize=1)
def _table() -> dict[str, dict[str, list[float] | float]]:
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


def hard_caps(chemistry: str, rated_Ah: float) -> HardCaps:
    """Return what no cell of this chemistry and size may be set to."""
    row = _table()[chemistry]
    (cold, warm), (coldest, hottest) = row["charge_temperature_degC"], row["discharge_temperature_degC"]  # type: ignore[misc]
    return HardCaps(
        charge_temp_max_degC=warm, charge_temp_min_degC=cold,
        discharge_temp_max_degC=hottest, discharge_temp_min_degC=coldest,
        charge_A=row["charge_per_h"] * rated_Ah, discharge_A=row["discharge_per_h"] * rated_Ah,  # type: ignore[operator]
    )  # fmt: skip
