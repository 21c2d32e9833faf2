"""Runs one worker process: `python -m engine_worker`."""

import asyncio
import logging
import signal
import sys

import uvloop
from solders.keypair import Keypair

from engine_common import telemetry
from engine_common.runtime import prepare_process
from engine_common.settings import load_or_exit
from engine_common.store.durability import UnfitDatabase
from engine_common.telemetry.probes import PortTaken
from engine_worker.process import WorkerProcess
from engine_worker.settings import WorkerSettings

log = logging.getLogger(__name__)


def main() -> None:
    """Execute orders until SIGTERM or SIGINT."""
    settings = load_or_exit(WorkerSettings)
    wallet = _wallet(settings)
    telemetry.start("engine-worker", settings)
    prepare_process()
    try:
        uvloop.run(_serve(settings, wallet))
    except (PortTaken, UnfitDatabase) as error:
        sys.exit(str(error))
    finally:
        telemetry.stop()


def _wallet(settings: WorkerSettings) -> Keypair:
    try:
        return Keypair.from_base58_string(settings.engine_wallet_key.get_secret_value())
    except ValueError:
        sys.exit("ENGINE_WALLET_KEY is not a base58 keypair of 64 bytes: set it to one, as Solana's tools write it.")


async def _serve(settings: WorkerSettings, wallet: Keypair) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    process = WorkerProcess(settings, wallet)
    started = loop.create_task(process.start())
    stopping = loop.create_task(stop.wait())
    await asyncio.wait((started, stopping), return_when=asyncio.FIRST_COMPLETED)
    started.cancel()
    failed = started.done() and started.exception() is not None
    if started.done() and not failed:
        await stopping
    log.info("stopping")
    await process.stop()
    if failed:
        started.result()


if __name__ == "__main__":
    main()
