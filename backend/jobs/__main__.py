"""The jobs as a process of their own, until SIGTERM or Ctrl+C: `python -m backend.jobs`."""

import asyncio
import signal

from backend.core import logging
from backend.core.config import Settings
from backend.database.schema import check_schema
from backend.database.session import Database
from backend.jobs.runner import run_jobs


async def main() -> None:
    settings = Settings()
    logging.configure(debug=settings.debug)
    database = Database(settings.database_url, settings=settings)
    check_schema(database)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await run_jobs(settings, database, settings.bot_token, stop)
    finally:
        database.dispose()


asyncio.run(main())
