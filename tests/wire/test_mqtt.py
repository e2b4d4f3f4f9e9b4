"""MQTT: what Home Assistant demands of a discovery, what may be asked, and the whole face against a real broker."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.wire.views import view, with_fault

from cellarer.config.schema import FaceFile
from cellarer.wire.faces.face import Asked
from cellarer.wire.faces.homeassistant import COMMANDS, ENTITIES, Words
from cellarer.wire.faces.mqtt import MqttFace, broker
from cellarer.wire.protocols import get
from cellarer.wire.table import settle

# Home Assistant, sensor device classes and the units they allow (those that are used here)
UNITS = {
    "battery": {"%"},
    "voltage": {"V", "mV"},
    "current": {"A", "mA"},
    "power": {"W", "kW"},
    "energy": {"Wh", "kWh", "MWh"},
    "energy_storage": {"Wh", "kWh"},
    "temperature": {"°C", "°F", "K"},
    "duration": {"s", "min", "h", "d"},
    "enum": {None},
}
BINARY = {"problem"}


def words(packs: int = 0, **options: Any) -> Words:
    file = FaceFile(name="ha", protocol="mqtt", link="broker", pack=packs, options=options)
    return Words(file, settle(get("mqtt"), options), "My home", "0.1.0", 2.0)


def discovered(**options: Any) -> tuple[str, dict[str, Any]]:
    topic, payload = words(**options).discovery(0, view()["packs"][0])
    return topic, json.loads(payload)


def test_discovery_has_what_home_assistant_demands() -> None:
    topic, payload = discovered(commands=True, cells=True)
    assert topic == "homeassistant/device/cellarer_my_home_1/config"
    assert payload["o"]["name"] == "Cellarer"
    assert payload["dev"]["ids"] == ["cellarer_my_home_1"]
    assert payload["availability"] == [{"topic": "cellarer/my_home/status"}]
    for key, one in payload["cmps"].items():
        assert one["p"] in ("sensor", "binary_sensor", "button", "number"), key
        assert one["default_entity_id"] == f"{one['p']}.{one['object_id']}"
        assert ("state_topic" in one) == (one["p"] in ("sensor", "binary_sensor"))
        assert ("command_topic" in one) == (one["p"] in ("button", "number"))
        if "state_topic" in one:
            assert one["expire_after"] == 8
    ids = [one["unique_id"] for one in payload["cmps"].values()]
    assert len(set(ids)) == len(ids)


def test_units_fit_their_device_class() -> None:
    for one in discovered(cells=True)[1]["cmps"].values():
        device_class = one.get("device_class")
        if device_class is None:
            continue
        if one["p"] == "binary_sensor":
            assert device_class in BINARY
        else:
            assert one.get("unit_of_measurement") in UNITS[device_class]
            assert ("state_class" in one) == (device_class != "enum")


def test_every_template_finds_its_key_and_value() -> None:
    state = json.loads(words(cells=True).state(view()["packs"][0]))
    for one in discovered(cells=True)[1]["cmps"].values():
        path = one["value_template"].removeprefix("{{ value_json.").removesuffix(" }}")
        key, _, at = path.partition("[")
        value = state[key][int(at.rstrip("]"))] if at else state[key]
        if one.get("device_class") == "enum":
            assert value in one["options"]
        if one["p"] == "binary_sensor":
            assert value in ("ON", "OFF")
    assert state["soc_pct"] == 60.0
    assert state["cell_spread_mV"] == 8.0
    assert state["time_to_empty_s"] is None


def test_unknown_is_null_and_never_a_number() -> None:
    pack = view(charge_A=None)["packs"][0]
    pack["strings"][0].update(lowest_V=None, temps_degC=[None, None, None, None])
    state = json.loads(words().state(pack))
    assert {state[k] for k in ("charge_limit_A", "cell_low_V", "cell_spread_mV", "temp_high_degC")} == {None}


def test_faults_are_told_in_words() -> None:
    state = json.loads(words().state(with_fault("cell_over_voltage_maximum", "open")["packs"][0]))
    assert (state["problem"], state["faults"]) == ("ON", "cell_over_voltage_maximum")
    quiet = json.loads(words().state(with_fault("cell_over_voltage_operating", "inform")["packs"][0]))
    assert (quiet["problem"], quiet["faults"]) == ("OFF", "none")


def test_without_permission_there_are_no_commands() -> None:
    assert not set(discovered()[1]["cmps"]) & set(COMMANDS)
    assert "commands are off" in str(words().command("cellarer/my_home/1/command/open", b"PRESS", False))


@pytest.mark.parametrize(
    ("topic", "payload", "asked"),
    [
        ("1/command/close", b"PRESS", Asked("close", 0)),
        ("2/command/open", b"PRESS", Asked("open", 1)),
        ("1/command/target_soc", b"80", Asked("target_soc", 0, 80.0)),
        ("1/command/target_soc", b"101", "0 to 100"),
        ("1/command/target_soc", b"nan", "0 to 100"),
        ("1/command/target_soc", b"8" * 1000, "0 to 100"),
        ("1/command/close", b"ON", "takes PRESS"),
        ("1/command/set_soc", b"50", "unknown command"),
        ("0/command/open", b"PRESS", "not shown"),
        ("1/state", b"PRESS", "unknown command"),
    ],
)
def test_commands(topic: str, payload: bytes, asked: Asked | str) -> None:
    got = words(commands=True).command(f"cellarer/my_home/{topic}", payload, False)
    assert got == asked if isinstance(asked, Asked) else asked in str(got)


def test_retained_command_is_refused() -> None:
    assert "retained" in str(words(commands=True).command("cellarer/my_home/1/command/close", b"PRESS", True))


def test_command_for_a_pack_that_is_not_shown_is_refused() -> None:
    assert "not shown" in str(words(packs=1, commands=True).command("cellarer/my_home/2/command/open", b"PRESS", False))


@given(st.text(max_size=60), st.binary(max_size=60))
def test_any_message_is_asked_or_refused(topic: str, payload: bytes) -> None:
    for name in (topic, f"cellarer/my_home/1/command/{topic}", "cellarer/my_home/1/command/target_soc"):
        got = words(commands=True).command(name, payload, False)
        assert isinstance(got, str) or got.value is None or 0 <= got.value <= 100


@pytest.mark.parametrize("url", ["mqtt:", "mqtt:host:0", "mqtt:host:x", "tcp:host:1883"])
def test_wrong_broker_urls_are_named(url: str) -> None:
    with pytest.raises(ValueError, match="HOST"):
        broker(url)


def test_keys_are_unique() -> None:
    keys = [e.key for e in ENTITIES] + list(COMMANDS)
    assert len(set(keys)) == len(keys)


# --- with a broker -------------------------------------------------------------------------------------------------


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """Run mosquitto for one test."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = int(free.getsockname()[1])
    path = tmp_path / "mosquitto.conf"
    path.write_text(f"listener {number} 127.0.0.1\nallow_anonymous true\npersistence false\n", encoding="utf-8")
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin:/sbin")
    assert program
    running = subprocess.Popen([program, "-c", str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while socket.socket().connect_ex(("127.0.0.1", number)):
        assert time.monotonic() < deadline, "mosquitto did not start"
        time.sleep(0.02)
    yield number
    running.kill()
    running.wait(10)


class House:
    """A face with a view that the test changes, and what it asked."""

    def __init__(self, port: int, **options: Any) -> None:
        self.shown: dict[str, Any] | None = view()
        self.age_s = 0.0
        self.asked: list[Asked] = []
        self.said: list[str] = []
        file = FaceFile(name="ha", protocol="mqtt", link="broker", period_ms=100, options=options)
        url = f"mqtt:127.0.0.1:{port}"
        read = lambda: (self.shown, self.age_s if self.shown else math.inf)  # noqa: E731
        self.face = MqttFace(file, url, read, self.asked.append, self.said.append, "0.1.0")


@pytest.fixture
async def assistant(port: int) -> AsyncIterator[aiomqtt.Client]:
    """Stand in for Home Assistant: hears everything."""
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe("#", qos=1)
        yield client


async def until(client: aiomqtt.Client, topic: str, payload: bytes | None = None) -> aiomqtt.Message:
    async with asyncio.timeout(10):
        async for message in client.messages:
            if str(message.topic) == topic and payload in (None, message.payload):
                return message
    raise AssertionError(topic)


async def ended(task: asyncio.Task[None]) -> None:
    done, _ = await asyncio.wait([task], timeout=10)
    assert done, "the face does not heed its cancellation"


STATUS, STATE = "cellarer/home/status", "cellarer/home/1/state"
CONFIG = "homeassistant/device/cellarer_home_1/config"


@pytest.mark.needs("mosquitto")
async def test_announces_tells_and_says_goodbye(port: int, assistant: aiomqtt.Client) -> None:
    house = House(port)
    task = asyncio.create_task(house.face.run())
    assert json.loads(bytes((await until(assistant, CONFIG)).payload))["o"]
    await until(assistant, STATUS, b"online")
    assert json.loads(bytes((await until(assistant, STATE)).payload))["soc_pct"] == 60.0
    await assistant.publish("homeassistant/status", "online", qos=1)
    await until(assistant, CONFIG)  # again, for a Home Assistant that was just born
    task.cancel()
    await until(assistant, STATUS, b"offline")
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.needs("mosquitto")
async def test_stale_view_is_offline_and_comes_back(port: int, assistant: aiomqtt.Client) -> None:
    house = House(port)
    task = asyncio.create_task(house.face.run())
    await until(assistant, STATUS, b"online")
    house.age_s = 6.0
    await until(assistant, STATUS, b"offline")
    house.age_s = 0.0
    await until(assistant, STATUS, b"online")
    task.cancel()
    await ended(task)


@pytest.mark.needs("mosquitto")
async def test_commands_become_requests_and_retained_ones_do_not(port: int, assistant: aiomqtt.Client) -> None:
    await assistant.publish("cellarer/home/1/command/close", "PRESS", qos=1, retain=True)
    house = House(port, commands=True)
    task = asyncio.create_task(house.face.run())
    await until(assistant, STATUS, b"online")
    await assistant.publish("cellarer/home/1/command/target_soc", "70", qos=1)
    await assistant.publish("cellarer/home/1/command/format_disk", "PRESS", qos=1)
    await assistant.publish("cellarer/home/1/command/open", "PRESS", qos=1)
    async with asyncio.timeout(10):
        while len(house.asked) < 2:
            await asyncio.sleep(0.02)
    assert house.asked == [Asked("target_soc", 0, 70.0), Asked("open", 0)]
    assert house.face.refused == 2
    task.cancel()
    await ended(task)


class Cable:
    """A way to the broker that the test can cut."""

    def __init__(self, port: int) -> None:
        self._port, self._ends = port, list[asyncio.StreamWriter]()

    async def lay(self) -> int:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _join(self, near: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        far, far_out = await asyncio.open_connection("127.0.0.1", self._port)
        self._ends += [near_out, far_out]
        carried = asyncio.gather(self._carry(near, far_out), self._carry(far, near_out), return_exceptions=True)
        with contextlib.suppress(asyncio.CancelledError):
            await carried

    @staticmethod
    async def _carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(4096):
            sink.write(data)

    async def remove(self) -> None:
        self._server.close()
        self.cut()
        await asyncio.sleep(0)

    def cut(self) -> None:
        for end in self._ends:
            end.transport.abort()
        self._ends.clear()


@pytest.mark.needs("mosquitto")
async def test_cut_off_face_is_offline_by_its_will_and_comes_back(port: int, assistant: aiomqtt.Client) -> None:
    cable = Cable(port)
    house = House(await cable.lay())
    task = asyncio.create_task(house.face.run())
    await until(assistant, STATUS, b"online")
    await until(assistant, STATE)
    cable.cut()  # no goodbye: what a kill looks like to the broker
    await until(assistant, STATUS, b"offline")
    await until(assistant, STATUS, b"online")
    assert house.said
    task.cancel()
    await ended(task)
    await cable.remove()


async def test_broker_that_is_away_costs_nothing_but_a_word() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = int(free.getsockname()[1])
    house = House(number)
    task = asyncio.create_task(house.face.run())
    async with asyncio.timeout(10):
        while not house.said:
            await asyncio.sleep(0.02)
    assert "trying again in 1 s" in house.said[0]
    assert not task.done()
    task.cancel()
    await ended(task)
