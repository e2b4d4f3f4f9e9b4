"""The stamp of the files that the kernel is compiled from: numba's cache looks at kernel.py alone."""

from hashlib import sha256

SOURCES = ("equations.py", "fields.py", "tables.py")


def stamp(texts: dict[str, str]) -> str:
    """A short hash over the texts of SOURCES, to be written into kernel.py whenever one of them changes."""
    joined = "\n".join(texts[name].replace("\r\n", "\n") for name in SOURCES)
    return sha256(joined.encode("utf-8")).hexdigest()[:12]
