"""What is wrong with a cell file, in words that name file, key, value and the allowed range."""


class CellError(ValueError):
    """A cell file cannot be used. The text says which file, which key, what stands there and what may stand there."""

    def __init__(self, file: str, key: str, value: object, allowed: str) -> None:
        """Keep the four parts and compose the message."""
        self.file, self.key, self.value, self.allowed = file, key, value, allowed
        shown = repr(value)
        if len(shown) > 120:
            shown = shown[:117] + "..."
        super().__init__(f"{file}: {key} = {shown}: allowed is {allowed}")
