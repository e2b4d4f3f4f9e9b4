"""Ways to charge one and the same pack, to be compared over its life. A policy is a row; control carries it out."""

from dataclasses import dataclass

from cellarer.config.schema import SimulationFile


@dataclass(frozen=True, slots=True)
class Policy:
    """What people ask of control, and how far they narrow the site's limits."""

    name: str
    meaning: str
    target_soc: float = float("nan")  # held when asked to; NaN = charge to full
    just_in_time: bool = False  # full at the next departure, at the target until then
    charge_share: float = 1.0  # of the site's charge current
    trips: bool = False  # makes sense only where somebody departs


AS_IS = Policy("full", "charge to full whenever possible, at the site's charge current")

POLICIES = (
    AS_IS,
    Policy("to 90 %", "hold at 90 %", target_soc=0.9),
    Policy("to 80 %", "hold at 80 %", target_soc=0.8),
    Policy("to 60 %", "hold at 60 %", target_soc=0.6),
    Policy("storage", "hold at 50 %, as for a pack that stands by", target_soc=0.5),
    Policy("just in time", "hold at 50 %, full at the departure", target_soc=0.5, just_in_time=True, trips=True),
    Policy("gentle", "charge to full at a third of the site's charge current", charge_share=1.0 / 3.0),
    Policy("gentle to 80 %", "both", target_soc=0.8, charge_share=1.0 / 3.0),
)


def fitting(simulation: SimulationFile) -> tuple[Policy, ...]:
    """Return the policies that make sense on a site."""
    departs = simulation.load.kind in ("drive", "ebike", "laptop")
    return tuple(policy for policy in POLICIES if departs or not policy.trips)
