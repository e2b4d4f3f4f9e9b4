"""The one error of configuration: it names file, key, value and what is allowed."""

from cellarer.cells.error import sentence


class ConfigError(ValueError):
    """A site, cell or fault file is wrong. The text says where, what stands there and what may stand there."""

    def __init__(self, file: str, key: str, value: object, allowed: str) -> None:
        super().__init__(sentence(file, key, value, allowed))
        self.file, self.key, self.value, self.allowed = file, key, value, allowed

    def __reduce__(self) -> tuple[object, ...]:
        return ConfigError, (self.file, self.key, self.value, self.allowed)  # between processes
