"""Trouble on a wire. Caught once, where the link is run: the value stays unknown, its age grows, a counter says why."""


class DeviceError(Exception):
    """Something on a wire did not work."""


class LinkTimeout(DeviceError):
    """Nobody answered in time."""


class BadFrame(DeviceError):
    """Bytes that are not a valid message. `why` is one word for the counters."""

    def __init__(self, why: str, text: str = "") -> None:
        super().__init__(f"{why}: {text}" if text else why)
        self.why = why


class Refused(DeviceError):
    """The device answered that it will not."""


class Unsupported(DeviceError):
    """A function that this device, protocol or computer does not have."""
