"""Documentation pages of protocols: the tables between `<!-- table NAME -->` and `<!-- end -->` come from the tables.

`python -m cellarer.wire.page docs/devices` writes them anew; a test fails when a page is behind its table.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from cellarer.wire.dbc import on_wire
from cellarer.wire.protocols import get
from cellarer.wire.table import Field, Message, Protocol, Role

_MARKED = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.S)
_SENT = {"device": "the battery side", "controller": "the controlling side"}


def renew(text: str) -> str:
    """Return a page with its generated parts made anew."""
    return str(_MARKED.sub(lambda m: f"{m[1]}{tables(get(m[2]))}{m[3]}", text))


def tables(protocol: Protocol) -> str:
    """Return status, options and messages of a protocol as Markdown."""
    text = f"\n{protocol.title}. Status: **{protocol.status}**. Not tested on: {protocol.not_tested}.\n\n"
    if protocol.options:
        text += "| option | default | allowed | meaning |\n|---|---|---|---|\n"
        for name, option in protocol.options.items():
            span = " … " if not isinstance(option.default, (str, bool)) else ", "
            allowed = span.join(f"{a:g}" if isinstance(a, (int, float)) else str(a) for a in option.allowed)
            default = f"{option.default:g}" if isinstance(option.default, float) else str(option.default).lower()
            text += f"| `{name}` | {default} | {allowed} | {option.means} |\n"
        text += "\n"
    return text + "".join(f"{part}\n" for m in protocol.messages for part in _message(protocol, m))


def _message(protocol: Protocol, message: Message) -> Iterator[str]:
    how = [f"from {_SENT[message.sender]}", f"{message.length} bytes"]
    how += [f"every {message.period_ms:g} ms"] if message.period_ms else []
    how += [f"{message.blocks.per} {message.blocks.axis}s per frame"] if message.blocks else []
    how += ["id + address − 1"] if message.id_step else []
    number = f"0x{message.id:X}"
    means = f" {message.means[0].upper()}{message.means[1:]}." if message.means else ""
    yield f"**{number} {message.name}**: {', '.join(how)}.{means}"
    if not message.fields:
        yield ""
        return
    yield ""
    yield "| bytes | field | step | unit | range, codes | meaning |"
    yield "|---|---|---|---|---|---|"
    for field in message.fields:
        cells = (_place(field), f"`{field.name}`", _step(field), field.unit, _codes(field), _means(field))
        yield f"| {' | '.join(cells)} |"
    yield ""


def _place(field: Field) -> str:
    if field.bits % 8:
        end = field.bit + field.bits - 1
        where = f"{field.at} bit {field.bit}" + (f"–{end}" if end > field.bit else "")
    else:
        last = field.at + field.bits // 8 - 1
        where = f"{field.at}" + (f"–{last}" if last > field.at else "")
    many = f" × {field.count or 'n'}" if field.count != 1 else ""
    return where + many + (" BE" if field.big and field.bits > 8 else "")


def _step(field: Field) -> str:
    scale, offset = on_wire(field)
    if field.role is not Role.VALUE or (scale, offset) == (1.0, 0.0):
        return ""
    return f"{scale:.6g}" + (f" {offset:+.6g}" if abs(offset) > 1e-9 else "")


def _codes(field: Field) -> str:
    if field.role is Role.CONSTANT:
        return f"always {int(field.value)}"
    if field.role is not Role.VALUE:
        return str(field.role.value)
    said = f"{field.raw_low} … {field.raw_high}" if field.bits > 1 else "0, 1"
    return said + (f"; {field.unknown} unknown" if field.unknown is not None else "")


def _means(field: Field) -> str:
    named = ", ".join(f"{code} {word}" for code, word in field.choices.items())
    return "; ".join(part for part in (field.means, named) if part)


if __name__ == "__main__":
    for path in sorted(Path(sys.argv[1]).glob("*.md")):
        path.write_text(renew(path.read_text(encoding="utf-8")), encoding="utf-8")
