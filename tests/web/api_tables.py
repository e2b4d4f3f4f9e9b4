"""The tables of docs/api.md, made from the forms. `python -m tests.web.api_tables` writes them into the page."""

from __future__ import annotations

import re
import types
import typing
from pathlib import Path

from pydantic import BaseModel

from cellarer.web import models

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"
FORMS = (
    models.Now, models.View, models.Pack, models.String, models.Cells, models.Balancing, models.Lifetime,
    models.StringLimits,
    models.Fault,
    models.History,
    models.Event, models.Freeze, models.Ask, models.Answer,
)  # fmt: skip
PLAIN = {float: "number", int: "integer", bool: "true or false", str: "text", type(None): "null"}


def kind(annotation: object) -> str:
    """Return a type in words."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if origin is list:
        return f"list of {kind(parts[0])}"
    if origin is dict:
        return f"name → {kind(parts[1])}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(kind(part) for part in parts))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation.__name__
    return PLAIN[annotation]  # type: ignore[index]


def table(form: type[BaseModel]) -> str:
    """Return one form as a table."""
    rows = [
        f"| `{name}` | {kind(field.annotation)} | {field.description or ''} |"
        for name, field in form.model_fields.items()
    ]
    return "\n".join([f"**{form.__name__}.** {form.__doc__}", "", "| field | | |", "|---|---|---|", *rows])


def tables() -> str:
    """Return all of them."""
    return "\n\n".join(table(form) for form in FORMS)


def written(text: str) -> str:
    """Return a page with its tables renewed."""
    begin, end = "<!-- forms -->\n\n", "\n\n<!-- /forms -->"
    return re.sub(f"{begin}.*{end}", lambda _: begin + tables() + end, text, flags=re.S)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
