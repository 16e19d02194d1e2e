"""Members that wait for the hint that the head has moved, many in one process: ``python bench/waiters.py < PLAN``.

Says ``ready`` when all wait. At each line that is given it answers with the wall clock times, as JSON, at which each
was woken next; it ends with its input.
"""

import asyncio
import json
import ssl
import sys
from typing import Any

from mftgit.adapters.clock import SystemClock

_AT_ONCE = 16
_WITHIN_S = 60.0


async def main() -> None:
    """Do what the plan on standard input says."""
    plan = json.loads(sys.stdin.readline())
    context = ssl.create_default_context(cafile=plan["ca_file"])
    woken: asyncio.Queue[float] = asyncio.Queue()
    gate = asyncio.Semaphore(_AT_ONCE)
    lines = [asyncio.create_task(_wait(plan, context, gate, woken)) for _ in range(plan["waiters"])]
    for _ in lines:
        await woken.get()
    print("ready", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        async with asyncio.timeout(_WITHIN_S):
            times = [await woken.get() for _ in lines]
        print(json.dumps(times), flush=True)
    for line in lines:
        line.cancel()
    await asyncio.gather(*lines, return_exceptions=True)


async def _wait(
    plan: dict[str, Any],
    context: ssl.SSLContext,
    gate: asyncio.Semaphore,
    woken: "asyncio.Queue[float]",
) -> None:
    async with gate:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", plan["port"], ssl=context, limit=4096
        )
        writer.write(plan["request"].encode())
        status = await reader.readline()
        if b" 200 " not in status:
            raise RuntimeError(f"a waiter was answered {status!r}")
        while not (await reader.readline()).startswith(b"retry:"):
            pass
    woken.put_nowait(SystemClock().now().timestamp())
    while line := await reader.readline():
        if line.startswith(b"data: moved"):
            woken.put_nowait(SystemClock().now().timestamp())


asyncio.run(main())
