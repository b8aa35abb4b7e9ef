"""`python -m backend.bot`: the bot as a process of its own.

BOT_API_TOKEN is its token for /api; BOT_API_URL where /api is, when that is not BASE_URL.
"""

import asyncio
import os
import signal
import sys

from backend.bot.run import make_api, make_service, run_bot
from backend.core import logging
from backend.core.config import Settings

TOKEN = "BOT_API_TOKEN"  # noqa: S105 - the variable's name
WITHOUT_API = (
    "BOT_API_TOKEN is empty. Make a token with `python -m backend.cli create-token bot --scope bot`"
    " and put it into the environment."
)
WITHOUT_TELEGRAM = "TELEGRAM_BOT_TOKEN is empty: @BotFather gives one."


async def serve(settings: Settings, api_token: str) -> None:
    api = make_api(os.environ.get("BOT_API_URL") or settings.url, lambda: api_token)
    running = asyncio.ensure_future(
        run_bot(settings, make_service(settings, api), by_webhook=False)
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    await asyncio.gather(running, return_exceptions=True)


def main() -> int:
    settings, api_token = Settings(), os.environ.get(TOKEN, "")
    if not api_token or not settings.bot_token:
        words = WITHOUT_TELEGRAM if api_token else WITHOUT_API
        print(words, file=sys.stderr)  # noqa: T201 - a command's answer
        return 1
    logging.configure(debug=settings.debug)
    asyncio.run(serve(settings, api_token))
    return 0


if __name__ == "__main__":
    sys.exit(main())
