"""Abuse a server as the internet does, and check after each kind that it is alive, free and lets nobody in.

    python scripts/serve_abuse.py > benchmarks/serve-abuse.txt

Half-open connections, malformed bodies, slow requests, oversized uploads, clients that leave, clients that are reset in
the middle of a stream, requests without a token, and SIGTERM under load. The exit code is 1 if a check failed.
"""

import asyncio
import json
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from ddpm_rt.models import bundled_model

TOKEN = "0123456789abcdef0123456789abcdef"
IMAGES = f"/v1/models/{bundled_model().stem}/images"
AT_ONCE = 50
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST


class Target:
    """A server in a process of its own."""

    def __init__(self, folder: Path, drain: float) -> None:
        token = folder / "token"
        token.write_text(TOKEN)
        arguments = ["serve", "--port", "0", "--token-file", token, "--drain", drain, "--queue", 512]
        command = [sys.executable, "-m", "ddpm_rt", *map(str, arguments)]
        self.log = (folder / "log").open("w+")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline().rstrip("/\n").rsplit(":", 1)[1])

    async def send(self, content: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(content)
        return reader, writer

    async def ask(self, content: bytes, seconds: float = 120.0) -> int:
        """The status of a request on a connection of its own; 0 if the connection was closed without one."""
        reader, writer = await self.send(content)
        try:
            line = await asyncio.wait_for(reader.readline(), seconds)
            await asyncio.wait_for(reader.read(), seconds)
            return int(line.split()[1]) if line else 0
        except ConnectionError:
            return 0
        finally:
            writer.close()

    async def is_well(self) -> str:
        """Empty if an image is drawn and no lane is taken; else what is wrong."""
        if self.process.poll() is not None:
            return f"the server ended with {self.process.returncode}"
        if (status := await self.ask(request("GET", f"{IMAGES}/7/1.png?steps=3"))) != 200:
            return f"an image was answered with {status}"
        for _ in range(100):
            taken = await self.taken()
            if not any(taken):
                return ""
            await asyncio.sleep(0.1)
        return f"lanes are taken: {taken}"

    async def taken(self) -> list[float]:
        reader, writer = await self.send(request("GET", "/metrics"))
        text = (await reader.read()).decode()
        writer.close()
        names = ("ddpm_rt_queue_samples{", "ddpm_rt_lanes_busy{")
        return [float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(names)]


def request(
    method: str, path: str, body: bytes = b"", *, token: str | None = TOKEN, length: int | None = None,
    accept: str = "*/*",
) -> bytes:  # fmt: skip
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", f"Accept: {accept}"]
    lines += [] if token is None else [f"Authorization: Bearer {token}"]
    lines += ["Content-Type: application/json", f"Content-Length: {len(body) if length is None else length}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def many(count: int, one: Callable[[int], Awaitable[Any]], at_once: int = AT_ONCE) -> list[Any]:
    gate = asyncio.Semaphore(at_once)

    async def gated(number: int) -> Any:
        async with gate:
            return await one(number)

    return await asyncio.gather(*map(gated, range(count)))


def draw(steps: int, count: int = 4, accept: str = "application/json", seed: int = 1) -> bytes:
    body = json.dumps({"seed": seed, "count": count, "steps": steps}).encode()
    return request("POST", IMAGES, body, accept=accept)


async def half_open(target: Target, count: int) -> str:
    """Connections without a request, and with the half of one: a request beside them is answered."""
    held = await many(count, lambda n: target.send(b"" if n % 2 else b"GET / HTTP/1.1\r\nHost: lo"))
    status = await target.ask(request("GET", f"{IMAGES}/7/2.png?steps=3"))
    for _, writer in held:
        writer.close()
    return "" if status == 200 else f"a request beside them was answered with {status}"


async def malformed(target: Target, count: int) -> str:
    random_ = random.Random(0)
    whole = json.dumps({"seed": 1, "count": 2, "steps": 4, "label": [1], "guidance": 1.0}).encode()

    def body(number: int) -> bytes:
        mutated = bytearray(whole if number % 3 else random_.randbytes(80))
        for _ in range(1 + number % 4):
            mutated[random_.randrange(len(mutated))] = random_.randrange(256)
        return bytes(mutated)

    def path(number: int) -> str:
        return IMAGES if number % 2 else f"/v2/models/{bundled_model().stem}/infer"

    found = Counter(await many(count, lambda n: target.ask(request("POST", path(n), body(n)))))
    wrong = {status: n for status, n in found.items() if status not in (200, 422, 429)}
    return f"answers {wrong}" if wrong else ""


async def slow(target: Target, count: int) -> str:
    """Requests a byte at a time: all are ended by the server, and a request beside them is answered."""

    async def one(number: int) -> None:
        content = request("POST", IMAGES, b"{}") if number % 2 else draw(5)[:-3]
        reader, writer = await target.send(b"")
        try:
            for byte in content:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.5)
            await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()

    crowd = asyncio.ensure_future(many(count, one, at_once=count))
    await asyncio.sleep(2)
    status = await target.ask(request("GET", f"{IMAGES}/7/3.png?steps=3"))
    await asyncio.wait_for(crowd, 120)
    return "" if status == 200 else f"a request beside them was answered with {status}"


async def oversized(target: Target, count: int) -> str:
    async def one(number: int) -> int:
        said = request("POST", IMAGES, b" " * 65_536, length=10**12 if number % 2 else 10**7)
        return await target.ask(said)

    wrong = set(await many(count, one)) - {413, 0}  # 0: closed while the client still sends
    return f"answers {wrong}" if wrong else ""


async def leaving(target: Target, count: int) -> str:
    async def one(number: int) -> None:
        accept = ("application/json", "text/event-stream", "application/zip")[number % 3]
        _, writer = await target.send(draw(900, 2, accept, seed=number))
        await asyncio.sleep(0.01 * (number % 10))
        writer.close()

    await many(count, one)
    return ""


async def reset(target: Target, count: int) -> str:
    """Streams whose client is gone in the middle, as if it were killed."""

    async def one(number: int) -> None:
        reader, writer = await target.send(draw(900, 2, "text/event-stream", seed=number))
        await reader.readline()
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort()

    await many(count, one)
    return ""


async def unauthorised(target: Target, count: int) -> str:
    paths = ["/v1/models", f"{IMAGES}/1/1.png", "/metrics", "/openapi.json", "/v2", "//v1/models", "/%2e%2e/v1/models"]
    tokens = [None, "", TOKEN[:-1], TOKEN.upper(), TOKEN + "0", "x" * 10_000]

    async def one(number: int) -> int:
        method = ("GET", "POST", "HEAD", "PUT")[number % 4]
        return await target.ask(request(method, paths[number % len(paths)], token=tokens[number % len(tokens)]))

    wrong = Counter(await many(count, one)) - Counter({401: count})
    return f"answers {dict(wrong)}" if wrong else ""


async def stopped_under_load(target: Target, count: int) -> str:
    """SIGTERM while requests are drawn: those are answered, and the process ends with exit code 0."""
    crowd = asyncio.ensure_future(many(count, lambda n: target.ask(draw(10, 1, seed=n)), at_once=count))
    while not any(await target.taken()):
        await asyncio.sleep(0.01)
    target.process.send_signal(signal.SIGTERM)
    found = Counter(await crowd)
    code = await asyncio.to_thread(target.process.wait, 120)
    wrong = {status: n for status, n in found.items() if status not in (200, 503)}
    return f"exit code {code}, answers {dict(found)}" if code or wrong or not found[200] else ""


KINDS: dict[str, tuple[Callable[[Target, int], Awaitable[str]], int]] = {
    "half-open connections": (half_open, 500),
    "malformed bodies": (malformed, 10_000),
    "requests a byte at a time": (slow, 100),
    "oversized uploads": (oversized, 200),
    "clients that leave": (leaving, 1000),
    "clients reset in a stream": (reset, 200),
    "requests without the token": (unauthorised, 1000),
    "requests when SIGTERM comes": (stopped_under_load, 64),
}


async def run(target: Target, scale: float) -> bool:
    """Print a line for each kind: whether all went well."""
    went_well = True
    for name, (kind, full) in KINDS.items():
        count, started = max(1, round(full * scale)), time.perf_counter()
        problem = await kind(target, count)
        if not problem and kind is not stopped_under_load:
            problem = await target.is_well()
        went_well &= not problem
        click.echo(f"{count:6} {name:<30} {time.perf_counter() - started:7.1f} s  {problem or 'ok'}")
    return went_well


@click.command()
@click.option("--scale", default=1.0, show_default=True, help="Of the numbers of requests.")
@click.option("--drain", default=60.0, show_default=True, help="Seconds that the server has to end.")
def main(scale: float, drain: float) -> None:
    """Abuse a server of the bundled model."""
    with tempfile.TemporaryDirectory() as folder:
        target = Target(Path(folder), drain)
        try:
            went_well = asyncio.run(run(target, scale))
        finally:
            target.process.kill()
            target.process.wait()
        crashes = (Path(folder) / "log").read_text().count('"event": "crash"')
    click.echo(f"{crashes} unexpected errors in the log of the server")
    sys.exit(0 if went_well and not crashes else 1)


if __name__ == "__main__":
    main()
