"""docs/api.md says what the API does."""

from __future__ import annotations

import re
import typing

from fastapi.routing import APIRoute
from tests.web.api_tables import PAGE, written
from tests.web.fake import TOKEN

from cellarer.board.messages import WHAT
from cellarer.web import create, models

TEXT = PAGE.read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_forms() -> None:
    assert written(TEXT) == TEXT, "run: python -m tests.web.api_tables"


def test_every_route_is_documented() -> None:
    app = create(lambda: (None, 0.0), None, lambda request: {}, {"packs": ["a"]}, TOKEN)
    routes = {
        f"{method} {route.path}" for route in app.routes if isinstance(route, APIRoute) for method in route.methods
    }
    assert routes == set(re.findall(r"`((?:GET|POST) /[^?`]*)", TEXT))


def test_every_request_is_documented_and_known_to_the_board() -> None:
    words = set(typing.get_args(models.What))
    assert words == set(WHAT)
    assert [what for what in words if f"| `{what}` |" not in TEXT] == []
