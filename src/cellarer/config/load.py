"""Site files → Site: a shipped name or a path. Errors are ConfigErrors: file, key, value, what is allowed."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from cellarer.cells import Cell, CellError
from cellarer.cells import load as load_cell
from cellarer.cells.error import first
from cellarer.config.compile import compile_site
from cellarer.config.error import ConfigError
from cellarer.config.schema import PackFile, SiteFile
from cellarer.model.config import Config

SITES = Path(__file__).with_name("sites")
TOO_LARGE = 1_000_000  # bytes


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A site as written and as compiled."""

    path: str
    file: SiteFile
    config: Config
    cells: list[Cell]  # one per pack


def sites() -> tuple[str, ...]:
    """Return the names of the shipped sites."""
    return tuple(sorted(p.stem for p in SITES.glob("*.toml")))


def load(path_or_name: str | Path) -> Site:
    """Read, check and compile a site; a shipped name or a path. Raises ConfigError."""
    text = str(path_or_name)
    path = SITES / f"{text}.toml" if text in sites() else Path(text)
    if not path.is_file():
        raise ConfigError(text, "site", text, f"a path of a site file or one of {', '.join(sites())}")
    if path.stat().st_size > TOO_LARGE:
        raise ConfigError(text, "size in bytes", path.stat().st_size, f"at most {TOO_LARGE}")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(text, "text", str(error), "valid TOML in UTF-8") from None
    return build(table, text)


def build(table: dict[str, object], file: str) -> Site:
    """Check and compile a site given as a table."""
    try:
        site = SiteFile.model_validate(table)
    except ValidationError as error:
        raise ConfigError(file, *first(error, SiteFile)) from None
    _no_doubles(site, file)
    cells = [_cell(pack, file, number) for number, pack in enumerate(site.pack, 1)]
    return Site(file, site, compile_site(site, cells, file), cells)


def _cell(pack: PackFile, file: str, number: int) -> Cell:
    try:
        return load_cell(pack.cell)
    except CellError as error:
        itself = error.file == pack.cell and error.key == "cell"  # else something is wrong in its file
        raise ConfigError(file, f"pack[{number}].cell", pack.cell, error.allowed if itself else str(error)) from None


def _no_doubles(site: SiteFile, file: str) -> None:
    """Refuse two things of the same name, devices on links that do not exist, and two devices at one address."""
    devices = [*site.device, *site.guard.device]
    for key, items in (("pack", site.pack), ("link", site.link), ("device", devices), ("face", site.face)):
        names = [item.name for item in items]
        doubled = sorted({n for n in names if names.count(n) > 1})
        if doubled:
            raise ConfigError(file, f"{key}.name", doubled, "each name once")
    links = [link.name for link in site.link]
    for name, link in [(d.name, d.link) for d in devices] + [(f.name, f.link) for f in site.face]:
        if link not in links:
            raise ConfigError(file, f"{name}.link", link, f"one of {links}")
    places = [(d.protocol, d.link, d.address) for d in site.device]
    doubled_places = sorted({p for p in places if places.count(p) > 1})
    if doubled_places:
        raise ConfigError(file, "device.address", doubled_places, "each protocol and address once per link")


def replay_site(
    cell: str,
    *,
    series: int = 1,
    parallel: int = 1,
    capacity_Ah: float | None = None,
    temperatures: int = 1,
    has_cells: bool = True,
    has_string_voltage: bool = False,
    estimate_ms: float = 10.0,
) -> Config:
    """Return the site of a recording: no switchgear, the signals that the file has.

    capacity_Ah: of one series group as measured, overrides cell × parallel. Raises ConfigError.
    """
    signals = ["current"]
    signals += ["cell_voltage"] if has_cells else []
    signals += ["string_voltage"] if has_string_voltage else []
    signals += ["temp_degC"] if temperatures else []
    pack = {"name": "recording", "cell": cell, "series": series, "parallel": parallel}
    pack |= {"temperature_sensors": temperatures} | ({"capacity_Ah": capacity_Ah} if capacity_Ah else {})
    table: dict[str, object] = {"name": "replay", "estimate_ms": estimate_ms, "pack": [pack], "signals": signals}
    return build(table, "recording").config
