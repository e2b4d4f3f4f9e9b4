"""A CAN frame. Serial lines carry plain bytes instead."""

from typing import NamedTuple


class Frame(NamedTuple):
    """One CAN or CAN FD data frame."""

    id: int
    data: bytes
    extended: bool = False
    fd: bool = False

    def __str__(self) -> str:
        return f"{self.id:0{8 if self.extended else 3}X}#{self.data.hex().upper()}"


class Reading(NamedTuple):
    """One value out of a frame, in units of `model.quantities`; NaN = the device says that it does not know."""

    signal: str
    at: int  # from 0 inside the device; the site file says where 0 lies
    value: float
