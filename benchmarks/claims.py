"""What a benchmark claims, and whether it came out: one line per claim, exit status 1 if one is missed."""

import sys
from collections.abc import Mapping


def verdict(claims: Mapping[str, bool], quiet: bool = False) -> int:
    """Print each claim with what came of it; return 1 if one is missed, else 0.

    claims  what is claimed with the figure that came out → whether it holds; state it so that NaN does not hold
    quiet   stdout is JSON: say it on stderr
    """
    for what, holds in claims.items():
        print("holds " if holds else "MISSED", what, file=sys.stderr if quiet else sys.stdout)
    return int(not all(claims.values()))
