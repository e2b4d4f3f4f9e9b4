"""The one error of configuration: it names file, key, value and what is allowed."""


class ConfigError(ValueError):
    """A site, cell or fault file is wrong. The text says where, what stands there and what may stand there."""

    def __init__(self, file: str, key: str, value: object, allowed: str) -> None:
        super().__init__(f"{file}: {key} = {value!r}: allowed is {allowed}")
        self.file, self.key, self.value, self.allowed = file, key, value, allowed

    def __reduce__(self) -> tuple[object, ...]:
        return ConfigError, (self.file, self.key, self.value, self.allowed)  # between processes
