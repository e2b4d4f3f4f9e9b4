"""What Home Assistant hears: one device per pack, its entities as rows of a table; and what it may say. Pure.

Device discovery (one retained message per device): `o` (origin) is required; `default_entity_id` names an entity since
2026.4, `object_id` before 2025.11, so both are sent. Every entity expires when we fall silent. State is one JSON text
per pack.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cellarer.config.schema import FaceFile
from cellarer.wire.faces.battery import CHARGE_PHASES, PHASES
from cellarer.wire.faces.face import Asked

View = Mapping[str, Any]
EXPIRE_PERIODS = 4  # an entity expires after so many missed states
ORIGIN = {"name": "Cellarer"}


class Entity(NamedTuple):
    """One entity: key in the state, name, platform, and how Home Assistant shows it."""

    key: str
    name: str
    read: Callable[[View], Any]  # pack of the view → value; None = unknown
    platform: str = "sensor"
    device_class: str = ""
    unit: str = ""
    state_class: str = ""
    diagnostic: bool = False
    more: Mapping[str, Any] = {}


def _at(key: str) -> Callable[[View], Any]:
    return lambda pack: pack[key]


def _limit(key: str) -> Callable[[View], Any]:
    return lambda pack: pack["limits"][key]


def _first(key: str) -> Callable[[View], Any]:
    return lambda pack: pack["strings"][0][key]


Pick = Callable[[list[Any]], Any]


def _over(pick: Pick, key: str) -> Callable[[View], Any]:
    """Return the lowest or highest over the strings' single values."""
    return lambda pack: _known(pick, [s[key] for s in pack["strings"]])


def _temps(pick: Pick) -> Callable[[View], Any]:
    return lambda pack: _known(pick, [t for s in pack["strings"] for t in s["temps_degC"]])


def _known(pick: Pick, values: list[Any]) -> Any:
    known = [v for v in values if v is not None]
    return pick(known) if known else None


def _spread(pack: View) -> float | None:
    low, high = _over(min, "lowest_V")(pack), _over(max, "highest_V")(pack)
    return None if low is None or high is None else round(1000 * (high - low), 1)


def _faults(pack: View) -> list[View]:
    return [f for s in pack["strings"] for f in s["faults"] if f["level"] != "inform"]


def _fault_text(pack: View) -> str:
    return "; ".join(f["text"] for f in _faults(pack))[:255] or "none"


def _on(value: bool) -> str:
    return "ON" if value else "OFF"


def _ever(key: str) -> Callable[[View], Any]:
    """Return the sum of a lifetime counter over the strings."""
    return lambda pack: _known(sum, [s["lifetime"][key] for s in pack["strings"]])


_ENUM = "enum"
_RISES = "total_increasing"
ENTITIES: tuple[Entity, ...] = (
    Entity("soc_pct", "State of charge", _at("soc_pct"), "sensor", "battery", "%", "measurement"),
    Entity("voltage_V", "Voltage", _at("voltage_V"), "sensor", "voltage", "V", "measurement"),
    Entity("current_A", "Current", _at("current_A"), "sensor", "current", "A", "measurement"),
    Entity("power_W", "Power", _at("power_W"), "sensor", "power", "W", "measurement"),
    Entity("energy_Wh", "Stored energy", _at("energy_Wh"), "sensor", "energy_storage", "Wh", "measurement"),
    Entity("soh_pct", "State of health", _at("soh_pct"), "sensor", "", "%", "measurement"),
    Entity("temp_high_degC", "Highest temperature", _temps(max), "sensor", "temperature", "°C", "measurement"),
    Entity("temp_low_degC", "Lowest temperature", _temps(min), "sensor", "temperature", "°C", "measurement"),
    Entity("cell_high_V", "Highest cell", _over(max, "highest_V"), "sensor", "voltage", "V", "measurement"),
    Entity("cell_low_V", "Lowest cell", _over(min, "lowest_V"), "sensor", "voltage", "V", "measurement"),
    Entity("cell_spread_mV", "Cell spread", _spread, "sensor", "voltage", "mV", "measurement"),
    Entity("charge_limit_A", "Charge limit", _limit("charge_A"), "sensor", "current", "A", "measurement"),
    Entity("discharge_limit_A", "Discharge limit", _limit("discharge_A"), "sensor", "current", "A", "measurement"),
    Entity("charge_limit_V", "Charge voltage limit", _limit("charge_V"), "sensor", "voltage", "V", "measurement"),
    Entity("time_to_empty_s", "Time to empty", _at("time_to_empty_s"), "sensor", "duration", "s", "measurement"),
    Entity("time_to_full_s", "Time to full", _at("time_to_full_s"), "sensor", "duration", "s", "measurement"),
    Entity("charged_kWh", "Energy charged", _ever("charged_kWh"), "sensor", "energy", "kWh", _RISES),
    Entity("discharged_kWh", "Energy discharged", _ever("discharged_kWh"), "sensor", "energy", "kWh", _RISES),
    Entity("hot_min", "Time too hot", _ever("hot_min"), "sensor", "duration", "min", _RISES),
    Entity("cold_min", "Time too cold", _ever("cold_min"), "sensor", "duration", "min", _RISES),
    Entity("deep_discharges", "Deep discharges", _ever("deep_discharges"), "sensor", "", "", _RISES),
    Entity("overcharges", "Overcharges", _ever("overcharges"), "sensor", "", "", _RISES),
    Entity("openings", "Openings", _ever("openings"), "sensor", "", "", _RISES),
    Entity("phase", "Switchgear", _first("phase"), "sensor", _ENUM, more={"options": list(PHASES)}),
    Entity("charge_phase", "Charging", _first("charge_phase"), "sensor", _ENUM, more={"options": list(CHARGE_PHASES)}),
    Entity("faults", "Faults", _fault_text, diagnostic=True),
    Entity("problem", "Problem", lambda p: _on(bool(_faults(p))), "binary_sensor", "problem"),
    Entity("charging_allowed", "Charging allowed", lambda p: _on(p["outputs"]["allow_charge"]), "binary_sensor"),
    Entity(
        "discharging_allowed", "Discharging allowed", lambda p: _on(p["outputs"]["allow_discharge"]), "binary_sensor"
    ),
    Entity("pre_alarm", "Load cut ahead", lambda p: _on(p["outputs"]["pre_alarm"]), "binary_sensor", "problem"),
)

# what may be asked: component, name
COMMANDS: Mapping[str, Mapping[str, Any]] = {
    "close": {"p": "button", "name": "Close"},
    "open": {"p": "button", "name": "Open"},
    "reset": {"p": "button", "name": "Reset faults"},
    "target_soc": {
        "p": "number", "name": "Target state of charge", "min": 0, "max": 100, "step": 1, "unit_of_measurement": "%",
    },
}  # fmt: skip
PRESS = "PRESS"


def slug(text: str) -> str:
    """Return a name as ids and topics take it."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "x"


class Words:
    """Topics and payloads of one face for one site."""

    def __init__(self, face: FaceFile, options: Mapping[str, Any], site: str, version: str, period_s: float) -> None:
        self.face, self.options, self.site, self.version = face, options, slug(site), version
        self.expire_s = max(1, math.ceil(EXPIRE_PERIODS * period_s))
        self.root = f"{options['prefix']}/{self.site}"
        self.status = f"{self.root}/status"
        self.births = f"{options['discovery_prefix']}/status"

    def packs(self, view: View) -> list[tuple[int, View]]:
        """Return (number from 0, pack) of what this face shows."""
        return [(i, p) for i, p in enumerate(view["packs"]) if self.face.pack in (0, i + 1)]

    def state_topic(self, pack: int) -> str:
        """Return where the state of a pack is told."""
        return f"{self.root}/{pack + 1}/state"

    def commands_topic(self) -> str:
        """Return the filter of all commands."""
        return f"{self.root}/+/command/+"

    def state(self, pack: View) -> str:
        """Return the state of a pack as JSON. Unknown is null."""
        told = {e.key: e.read(pack) for e in ENTITIES}
        if self.options["cells"]:
            told["cells_V"] = [v for s in pack["strings"] for v in s["cells"]["voltage_V"]]
        return json.dumps(told, allow_nan=False)

    def discovery(self, number: int, pack: View) -> tuple[str, str]:
        """Return (topic, payload) that makes a pack a device with its entities. To be sent retained."""
        device = f"cellarer_{self.site}_{number + 1}"
        topic = self.state_topic(number)
        components = {e.key: self._entity(device, topic, e) for e in ENTITIES}
        if self.options["cells"]:
            count = sum(len(s["cells"]["voltage_V"]) for s in pack["strings"])
            components |= {f"cell_{i + 1}": self._cell(device, topic, i) for i in range(count)}
        if self.options["commands"]:
            components |= {what: self._command(device, number, what) for what in COMMANDS}
        payload = {
            "dev": {"ids": [device], "name": pack["name"], "mf": "Cellarer", "mdl": "Battery", "sw": self.version},
            "o": ORIGIN | {"sw": self.version},
            "cmps": components,
            "availability": [{"topic": self.status}],
            "qos": 1,
        }
        return f"{self.options['discovery_prefix']}/device/{device}/config", json.dumps(payload)

    def command(self, topic: str, payload: bytes, retained: bool) -> Asked | str:
        """Return what a message asks for, or why it is refused. A retained one would ask again at every connection."""
        match = re.fullmatch(re.escape(self.root) + r"/(\d{1,3})/command/(\w+)", topic)
        if not match or match[2] not in COMMANDS:
            return f"unknown command topic {topic}"
        pack, what = int(match[1]) - 1, match[2]
        if not self.options["commands"]:
            return "commands are off: options.commands = true allows them"
        if retained:
            return f"{what} is retained at the broker; a command must not be"
        if pack < 0 or self.face.pack not in (0, pack + 1):
            return f"pack {pack + 1} is not shown here"
        if COMMANDS[what]["p"] == "button":
            return Asked(what, pack) if payload == PRESS.encode() else f"{what} takes {PRESS}"
        low, high = COMMANDS[what]["min"], COMMANDS[what]["max"]
        value = _float(payload)
        return Asked(what, pack, value) if low <= value <= high else f"{what} takes {low} to {high}"

    def _entity(self, device: str, topic: str, entity: Entity) -> dict[str, Any]:
        made = self._base(device, entity.platform, entity.key, entity.name) | dict(entity.more)
        made["state_topic"] = topic
        made["value_template"] = f"{{{{ value_json.{entity.key} }}}}"
        made["expire_after"] = self.expire_s
        for key, value in (
            ("device_class", entity.device_class),
            ("unit_of_measurement", entity.unit),
            ("state_class", entity.state_class),
            ("entity_category", "diagnostic" if entity.diagnostic else ""),
        ):
            if value:
                made[key] = value
        return made

    def _cell(self, device: str, topic: str, at: int) -> dict[str, Any]:
        entity = Entity(f"cell_{at + 1}", f"Cell {at + 1}", _at("name"), "sensor", "voltage", "V", "measurement", True)
        return self._entity(device, topic, entity) | {"value_template": f"{{{{ value_json.cells_V[{at}] }}}}"}

    def _command(self, device: str, number: int, what: str) -> dict[str, Any]:
        shape = dict(COMMANDS[what])
        made = self._base(device, shape["p"], what, shape["name"]) | shape
        made["command_topic"] = f"{self.root}/{number + 1}/command/{what}"
        if shape["p"] == "button":
            made["payload_press"] = PRESS
        return made

    @staticmethod
    def _base(device: str, platform: str, key: str, name: str) -> dict[str, Any]:
        own = f"{device}_{key.lower()}"
        return {
            "p": platform,
            "name": name,
            "unique_id": own,
            "object_id": own,
            "default_entity_id": f"{platform}.{own}",
        }


def _float(payload: bytes) -> float:
    """Return a number of at most 20 characters; anything else is NaN, which is in no range."""
    try:
        return float(payload) if len(payload) <= 20 else math.nan
    except ValueError:
        return math.nan
