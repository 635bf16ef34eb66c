"""Run the stand-in by itself: `python -m chat.providers.standin --port 8400 --window 16000`."""

import argparse
import asyncio
import signal

from .control import Control
from .server import start_standin


async def serve(options: argparse.Namespace) -> None:
    """Serve until SIGINT or SIGTERM."""
    standin = await start_standin(
        host=options.host,
        port=options.port,
        window=options.window,
        delay_ms=options.delay_ms,
        first_ms=options.first_ms,
        models=options.model,
    )
    print(f"stand-in Messages API on {standin.base_url}, window {options.window:,} tokens", flush=True)
    control = Control(standin)
    if options.control_port is not None:
        print(f"control door on http://127.0.0.1:{await control.start(options.control_port)}", flush=True)
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, done.set)
    await done.wait()
    await control.close()
    await standin.close()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m chat.providers.standin", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--window", type=int, default=16_000, help="tokens")
    parser.add_argument("--delay-ms", type=float, default=20.0, help="between two deltas")
    parser.add_argument("--first-ms", type=float, default=150.0, help="before the first event")
    parser.add_argument("--model", action="append", default=[], help="a further model that shall exist")
    parser.add_argument("--control-port", type=int, help="for tests: script faults and read the log; 0 takes any")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
