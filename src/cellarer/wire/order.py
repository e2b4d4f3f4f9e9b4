"""What a device is told. None = not ordered by us; a device that must know takes it as off."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Order:
    """One command for one device: switches and limits of its string, bleeders of its cells, outputs of its pack."""

    minus: bool | None = None
    precharge: bool | None = None
    plus: bool | None = None
    charge_switch: bool | None = None
    discharge_switch: bool | None = None
    bleed: tuple[bool, ...] = ()  # per cell of the device
    give: tuple[float, ...] = ()  # 0…1 per cell of the device: share of the time that its converter gives charge away
    take: tuple[float, ...] = ()  # 0…1 the same for taking charge in
    charge_A: float | None = None  # limits, for devices that take them
    discharge_A: float | None = None
    charge_V: float | None = None
    heater: float | None = None  # 0…1
    pump: float | None = None  # 0…1
    allow_charge: bool | None = None
    allow_discharge: bool | None = None
    pre_alarm: bool | None = None
    start_generator: bool | None = None
    buzzer: bool | None = None
