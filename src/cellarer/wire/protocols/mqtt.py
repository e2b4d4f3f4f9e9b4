"""MQTT with Home Assistant discovery: for people and their automations, never for limits.

What is said stands in `faces/homeassistant.py`.
"""

from cellarer.wire.table import Option, Protocol

PROTOCOL = Protocol(
    name="mqtt",
    title="MQTT with Home Assistant device discovery",
    status="loopback-verified",
    transport="mqtt",
    roles=("face",),
    options={
        "commands": Option(False, "buttons and numbers in Home Assistant may ask to close, open, reset, target SOC"),
        "cells": Option(False, "one entity per cell voltage"),
        "prefix": Option("cellarer", "first part of our topics"),
        "discovery_prefix": Option("homeassistant", "as set in Home Assistant"),
        "username": Option("", "broker login"),
        "password_file": Option("", "file that holds the password, readable by its owner only"),
        "tls": Option(False, "encrypt; with the certificates of the system"),
    },
    not_tested="a Home Assistant installation; keys are checked against its rules, delivery by mosquitto",
    source="docs/devices/mqtt.md",
)
