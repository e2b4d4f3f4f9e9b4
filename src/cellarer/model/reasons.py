"""Why a limit stands where it stands: one word each, in the order in which people are told."""

REASONS: tuple[str, ...] = (
    "rated",  # what the pack is built for
    "cell voltage high",
    "cell voltage low",
    "temperature high",
    "temperature low",
    "state of charge",
    "power forecast",  # SOP
    "foreign BMS",  # a smart BMS below us allows no more
    "fault",
    "unknown measurement",
    "switchgear open",
    "recovering",  # limits go up slowly
    "charge phase",
    "plan",
    "wiring",  # fuse, cables or contacts are warm
    "core temperature",  # estimated: inside the cells it is warmer than sensors show
)

INDEX = {name: i for i, name in enumerate(REASONS)}
