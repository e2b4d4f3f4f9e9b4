"""The stamp of the files that the kernels are compiled from: numba's cache looks at the kernel's own file alone."""

from hashlib import sha256

SOURCES = ("equations.py", "fields.py", "tables.py", "power_equations.py", "power_long.py")


def stamp(texts: dict[str, str]) -> str:
    """A short hash over the texts of SOURCES, to be written into both kernel files whenever one of them changes."""
    joined = "\n".join(texts[name].replace("\r\n", "\n") for name in SOURCES)
    return sha256(joined.encode("utf-8")).hexdigest()[:12]
