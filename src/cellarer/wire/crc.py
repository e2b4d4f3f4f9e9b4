"""Checksums on wires. Each has the check value of the ASCII string "123456789" or a recorded frame in the tests."""

from collections.abc import Callable


def _table8(poly: int) -> bytes:
    table = bytearray()
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc << 1) ^ poly if crc & 0x80 else crc << 1
        table.append(crc & 0xFF)
    return bytes(table)


_J1850 = _table8(0x1D)


def crc8_j1850(data: bytes) -> int:
    """CRC-8/SAE-J1850: polynomial 0x1D, start 0xFF, result inverted (AUTOSAR E2E profile 1). "123456789" gives 0x4B."""
    crc = 0xFF
    for byte in data:
        crc = _J1850[crc ^ byte]
    return crc ^ 0xFF


def sum16_negative(data: bytes) -> int:
    """Return the 16-bit two's complement of the byte sum (JBD)."""
    return -sum(data) & 0xFFFF


Checksum = Callable[[bytes], int]
