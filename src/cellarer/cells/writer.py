"""A cell file as text: numbers rounded to what they mean, tables one row per temperature, sections in a fixed order."""

import math
from collections.abc import Mapping, Sequence
from io import StringIO

SECTIONS = ("capacity", "ocv", "resistance", "thermal", "limits", "charge", "ageing")


def _number(value: float) -> str:
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    text = f"{float(value):.6g}"
    return text if any(mark in text for mark in ".en") else f"{text}.0"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return _number(float(value))
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(str(k))} = {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Sequence):
        if value and isinstance(value[0], Sequence) and not isinstance(value[0], str):
            return "[\n" + "".join(f"  {_value(row)},\n" for row in value) + "]"
        if value and isinstance(value[0], str):
            return "[\n" + "".join(f"  {_value(text)},\n" for text in value) + "]"
        return "[" + ", ".join(_value(item) for item in value) + "]"
    raise TypeError(f"a cell file holds numbers, texts and lists of them, not {type(value).__name__}")


def _key(key: str) -> str:
    plain = key.replace("_", "").replace("-", "").isalnum() and key.isascii()
    return key if plain else _value(key)


def dump(table: Mapping[str, object]) -> str:
    """Write a cell table as TOML that `load` reads back; keys whose value is None are left out."""
    out = StringIO()
    for key, value in table.items():
        if key not in SECTIONS and value is not None:
            out.write(f"{_key(key)} = {_value(value)}\n")
    for name in SECTIONS:
        section = table.get(name)
        if name == "ageing" and section is None:
            continue
        assert isinstance(section, Mapping)
        out.write(f"\n[{name}]\n{lines(section)}")
    return out.getvalue()


def lines(section: Mapping[str, object]) -> str:
    """Write the keys of a section, one per line; keys whose value is None are left out."""
    given = {key: value for key, value in section.items() if value is not None and value != {}}
    return "".join(f"{_key(key)} = {_value(value)}\n" for key, value in given.items())
