"""The files of the page: vendored ones unchanged, own ones free of what the content policy forbids."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

STATIC = Path(__file__).resolve().parents[2] / "src" / "cellarer" / "web" / "static"
OWN = sorted(path for path in STATIC.iterdir() if path.suffix in (".html", ".js", ".css", ".svg"))


def test_vendored_files_are_the_ones_that_were_weighed() -> None:
    vendor = STATIC / "vendor"
    rows = re.findall(r"^\| (\S+) \|.*\| ([0-9a-f]{64}) \|$", (vendor / "README.md").read_text(encoding="utf-8"), re.M)
    assert {name for name, _ in rows} == {path.name for path in vendor.iterdir()} - {"README.md"}
    for name, digest in rows:
        assert hashlib.sha256((vendor / name).read_bytes()).hexdigest() == digest, name


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_own_files_load_nothing_foreign_and_write_no_html(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(
        r"https?://|//[a-z]+\.[a-z]|@import|innerHTML|outerHTML|insertAdjacentHTML|\beval\(|new Function", text
    )
    assert len(text.splitlines()) <= 300


def test_the_page_has_no_inline_script_or_style() -> None:
    text = (STATIC / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text)
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text))


def test_every_file_that_the_page_names_exists() -> None:
    names = {name for path in OWN for name in re.findall(r'"/static/([^"]+)"', path.read_text(encoding="utf-8"))}
    names |= {name for path in OWN for name in re.findall(r'from "\./([^"]+)"', path.read_text(encoding="utf-8"))}
    assert {"app.js", "base.css", "vendor/uPlot.esm.js"} <= names
    assert [name for name in names if not (STATIC / name).is_file()] == []


def test_the_dark_palette_by_choice_and_by_system_is_one() -> None:
    """It stands twice because older browsers know no light-dark()."""
    text = (STATIC / "base.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root(?:\[data-theme=\"dark\"\]|:not\(\[data-theme=\"light\"\]\)) \{(.*?)\}", text, re.S)
    palettes = [dict(re.findall(r"(--[\w-]+|color-scheme): ([^;]+);", block)) for block in blocks]
    assert len(palettes) == 2
    assert palettes[0] == palettes[1]
    light = dict(re.findall(r"(--[\w-]+): ([^;]+);", text.split("}")[0]))
    assert set(light) - set(palettes[0]) == {"--font"}
