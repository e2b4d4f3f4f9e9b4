"""The MQTT face at work: connects, comes back, announces, publishes the state, hands commands on as requests.

Nothing here reaches the cycle: a broker that is away, slow or hostile costs this task only. The last will says offline
when we are killed; a stale view says it too, because old values must not look new.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiomqtt

from cellarer.config.schema import FaceFile
from cellarer.wire.faces.face import Asked
from cellarer.wire.faces.homeassistant import Words
from cellarer.wire.protocols import get
from cellarer.wire.table import settle

View = Mapping[str, Any]
PERIOD_S = 2.0
STALE_S = 5.0
AGAIN_S = (1.0, 60.0)  # first and longest wait before the next try
ONLINE, OFFLINE = "online", "offline"


def broker(url: str) -> tuple[str, int]:
    """Return host and port of a link url, mqtt:HOST[:PORT]. Raises ValueError."""
    kind, _, rest = url.partition(":")
    host, _, port = rest.partition(":")
    if kind != "mqtt" or not host or (port and not (port.isdigit() and 0 < int(port) < 65536)):
        raise ValueError(f"url = {url!r}; allowed: mqtt:HOST[:PORT] with PORT 1 to 65535")
    return host, int(port or 1883)


class MqttFace:
    """One broker.

    read   gives the newest view and its age in s; (None, inf) when there is none
    ask    takes what somebody asks for
    say    takes one line for the log
    """

    def __init__(
        self,
        face: FaceFile,
        url: str,
        read: Callable[[], tuple[View | None, float]],
        ask: Callable[[Asked], None],
        say: Callable[[str], None],
        version: str,
    ) -> None:
        self.host, self.port = broker(url)
        self.face, self._read, self._ask, self._say, self._version = face, read, ask, say, version
        self.options = settle(get("mqtt"), face.options, f"face {face.name!r}")
        self.period_s = face.period_ms / 1000 if face.period_ms else PERIOD_S
        self.refused = 0  # commands that were not handed on

    async def run(self) -> None:
        """Serve until cancelled."""
        wait_s = AGAIN_S[0]
        while True:
            words = await self._words()
            try:
                async with self._client(words) as client:
                    wait_s = AGAIN_S[0]
                    try:
                        await self._serve(client, words)
                    finally:
                        with contextlib.suppress(aiomqtt.MqttError):
                            await asyncio.shield(client.publish(words.status, OFFLINE, qos=1, retain=True, timeout=1))
            except (aiomqtt.MqttError, OSError) as error:
                self._say(f"{self.face.name}: MQTT {self.host}:{self.port}: {error}; trying again in {wait_s:g} s")
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, AGAIN_S[1])

    async def _words(self) -> Words:
        """Wait for the first view: it says what there is to announce."""
        while True:
            view, _ = self._read()
            if view is not None:
                return Words(self.face, self.options, view["site"], self._version, self.period_s)
            await asyncio.sleep(min(self.period_s, 0.5))

    def _client(self, words: Words) -> aiomqtt.Client:
        secret = self.options["password_file"]
        return aiomqtt.Client(
            self.host,
            self.port,
            username=self.options["username"] or None,
            password=Path(secret).read_text(encoding="utf-8").strip() if secret else None,
            identifier=f"cellarer_{words.site}_{words.face.name.replace(' ', '_')}"[:64],
            will=aiomqtt.Will(words.status, OFFLINE, qos=1, retain=True),
            keepalive=15,
            timeout=10,
            max_queued_incoming_messages=100,
            max_queued_outgoing_messages=200,
            tls_params=aiomqtt.TLSParameters() if self.options["tls"] else None,
        )

    async def _serve(self, client: aiomqtt.Client, words: Words) -> None:
        await client.subscribe(words.births, qos=1)
        if self.options["commands"]:
            await client.subscribe(words.commands_topic(), qos=1)
        await self._announce(client, words)
        # no TaskGroup: in Python 3.11 it leaves its own cancellation counted on this task, which lives on
        tasks = [asyncio.create_task(work) for work in (self._tell(client, words), self._hear(client, words))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _announce(self, client: aiomqtt.Client, words: Words) -> None:
        view, _ = self._read()
        for number, pack in words.packs(view) if view else []:
            topic, payload = words.discovery(number, pack)
            await _publish(client, topic, payload, qos=1, retain=True)

    async def _tell(self, client: aiomqtt.Client, words: Words) -> None:
        """Publish the state each period, and whether it is fresh when that changes."""
        told = None
        while True:
            view, age_s = self._read()
            fresh = view is not None and age_s <= STALE_S
            if fresh != told:
                await _publish(client, words.status, ONLINE if fresh else OFFLINE, qos=1, retain=True)
                told = fresh
            if view is not None and fresh:
                for number, pack in words.packs(view):
                    await _publish(client, words.state_topic(number), words.state(pack))
            await asyncio.sleep(self.period_s)

    async def _hear(self, client: aiomqtt.Client, words: Words) -> None:
        """Announce again when Home Assistant is born, hand on what is asked."""
        async for message in client.messages:
            payload = message.payload if isinstance(message.payload, bytes) else b""
            if str(message.topic) == words.births:
                if payload == b"online":
                    await self._announce(client, words)
                continue
            asked = words.command(str(message.topic), payload, bool(message.retain))
            if isinstance(asked, str):
                self.refused += 1
                self._say(f"{self.face.name}: {asked}")
            else:
                self._ask(asked)


async def _publish(client: aiomqtt.Client, topic: str, payload: str, qos: int = 0, retain: bool = False) -> None:
    """Publish and heed a cancellation that arrived meanwhile: before Python 3.12 asyncio.wait_for may swallow it."""
    await client.publish(topic, payload, qos=qos, retain=retain)
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
