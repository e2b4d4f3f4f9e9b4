"""What is wrong with a cell or site file, in words that name file, key, value and what is allowed."""

from difflib import get_close_matches
from typing import get_args

from pydantic import BaseModel, ValidationError

LONGEST = 120  # characters of a value that are shown


class CellError(ValueError):
    """A cell file cannot be used. The text says which file, which key, what stands there and what may stand there."""

    def __init__(self, file: str, key: str, value: object, allowed: str) -> None:
        """Keep the four parts and compose the message."""
        self.file, self.key, self.value, self.allowed = file, key, value, allowed
        super().__init__(sentence(file, key, value, allowed))


def sentence(file: str, key: str, value: object, allowed: str) -> str:
    """Return what a person reads."""
    shown = repr(value)
    if len(shown) > LONGEST:
        shown = shown[: LONGEST - 3] + "..."
    return f"{file}: {key} = {shown}: allowed is {allowed}"


def first(error: ValidationError, model: type[BaseModel]) -> tuple[str, object, str]:
    """Return key, value and what is allowed of the first finding in a table of this model; items count from 1."""
    found = error.errors(include_url=False)[0]
    loc, kind, message = found["loc"], found["type"], found["msg"]
    key = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in loc).lstrip(".")
    if kind == "missing":
        return key, None, "a value: the key is required"
    if kind == "extra_forbidden":
        keys = _keys(model, loc)
        near = get_close_matches(str(loc[-1]), keys, 1)
        hint = f"; is {near[0]} meant?" if near else f"; the keys here are {', '.join(keys)}" if keys else ""
        return key, found["input"], f"no such key{hint}"
    for lead in ("Input should be ", "Value error, "):
        message = message.removeprefix(lead)
    return key, found["input"], message[0].lower() + message[1:]


def _keys(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Return the keys that are known where a finding is; empty where that is not one model."""
    for part in loc[:-1]:
        if isinstance(part, str):
            field = model.model_fields.get(part)
            inner = _models(field.annotation) if field else []
            if len(inner) != 1:
                return []
            model = inner[0]
    return list(model.model_fields)


def _models(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models(inner)]
