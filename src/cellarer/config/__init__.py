"""Site files: schema, loader, compiler and the table of faults."""

from cellarer.config.check import refuse, report, timing
from cellarer.config.error import ConfigError
from cellarer.config.load import Site, build, load, replay_site, sites

__all__ = ["ConfigError", "Site", "build", "load", "refuse", "replay_site", "report", "sites", "timing"]
