"""What is wrong with laboratory data, in words that name file, column, value and what to do."""


class LabError(ValueError):
    """A laboratory file cannot be used; the text says which, where, and what would be accepted."""

    def __init__(self, file: str, where: str, found: object, wanted: str) -> None:
        """Keep the parts and compose the message."""
        self.file, self.where, self.found, self.wanted = file, where, found, wanted
        super().__init__(f"{file}: {where}: found {found}; wanted {wanted}")

    def __reduce__(self) -> tuple[type["LabError"], tuple[object, ...]]:
        """Travel between processes with all parts."""
        return type(self), (self.file, self.where, self.found, self.wanted)
