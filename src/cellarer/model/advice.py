"""What would make SOC better known, in words: one place for reports, console and page."""

ACTIONS = ("rest", "above", "below", "full")


def words(action: str, minutes: float, voltage_V: float, sigma: float, promised: float) -> str:
    """Say an advice. minutes: of rest or beyond voltage_V; sigma, promised: of SOC now and then, fractions."""
    where = {
        "rest": f"a rest of {minutes:.0f} min",
        "above": f"{minutes:.0f} min above {voltage_V:.2f} V",
        "below": f"{minutes:.0f} min below {voltage_V:.2f} V",
        "full": "a full charge",
    }
    return f"{where[action]} narrows SOC from ±{100 * sigma:.1f} to ±{100 * promised:.1f} %"
