"""`python -m mockdex`: serve until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import sys

import uvloop

from engine_common import telemetry
from engine_common.settings import load_or_exit
from engine_common.telemetry.logs import log
from engine_common.telemetry.probes import PortTaken as ProbePortTaken
from engine_common.telemetry.probes import serve_probes
from mockdex import measurements
from mockdex.app import make_service
from mockdex.exchange import Exchange
from mockdex.server import PortTaken, listen
from mockdex.settings import MockdexSettings, ProcessSettings
from mockdex.storage import DirectoryUnusable

_ALLOCATIONS_PER_COLLECTION = 20_000


async def serve(settings: ProcessSettings) -> int:
    """Serve until told to stop; return the exit code. Raises PortTaken, DirectoryUnusable."""
    listener = listen(settings.mockdex_host, settings.mockdex_port)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    exchange = await Exchange.open(settings, on_failure=stopping.set)
    measurements.watch(exchange.chain)
    token = settings.mock_dex_admin_token
    server = make_service(exchange, token.get_secret_value() if token else None)
    probes = (
        await serve_probes(settings.metrics_port, exchange.ready, settings.metrics_host)
        if settings.metrics_port
        else None
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    serving.add_done_callback(lambda _: stopping.set())
    host, port = listener.getsockname()[:2]
    directory = str(settings.mock_dex_data_dir or "temporary")
    log.info(
        "mock DEX listens", host=host, port=port, seed=exchange.seed, data_dir=directory, height=exchange.chain.height
    )
    _prepare_process()
    await stopping.wait()
    server.should_exit = True
    await serving
    if probes:
        await probes.close()
    await exchange.close()
    return 1 if exchange.failed else 0


def _prepare_process() -> None:
    """Make room for thousands of connections, and keep the collector from walking over what lives for ever."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS_PER_COLLECTION, 20, 50)


def main() -> int:
    """Run the service; return its exit code."""
    settings = load_or_exit(MockdexSettings)
    telemetry.start("mockdex", settings)
    try:
        return uvloop.run(serve(settings))
    except (PortTaken, ProbePortTaken, DirectoryUnusable) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    finally:
        telemetry.stop()


if __name__ == "__main__":
    sys.exit(main())
