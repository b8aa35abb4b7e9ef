"""`python -m backend.bot`: the bot as a process of its own."""

import asyncio
import signal
import sys
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationError

from backend.bot.run import make_api, make_service, run_bot
from backend.core import logging
from backend.core.config import Settings

WITHOUT_API = (
    "BOT_API_TOKEN is empty. Make a token with `python -m backend.cli create-token bot --scope bot`"
    " and put it into the environment."
)
WITHOUT_TELEGRAM = "TELEGRAM_BOT_TOKEN is empty: @BotFather gives one."


class BotSettings(Settings):
    """What this process needs besides: its token for /api, and a nearer way there than BASE_URL."""

    bot_api_token: SecretStr = SecretStr("")
    school_api_url: str = ""


async def serve(settings: BotSettings) -> None:
    token = settings.bot_api_token.get_secret_value()
    # The school answers to its own name only, whatever the address of its container.
    host = urlsplit(settings.url).netloc
    api = make_api(settings.school_api_url or settings.url, lambda: token, host=host)
    work = run_bot(settings, make_service(settings, api), by_webhook=False)
    running = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    await asyncio.gather(running, return_exceptions=True)


def main() -> int:
    try:
        settings = BotSettings()
    except ValidationError as error:
        for problem in error.errors():
            name = "".join(str(part).upper() + ": " for part in problem["loc"])
            words = problem["msg"].removeprefix("Value error, ")
            print(f"{name}{words}", file=sys.stderr)  # noqa: T201 - a command's answer
        return 1
    api_token = settings.bot_api_token.get_secret_value()
    if not api_token or not settings.bot_token:
        words = WITHOUT_TELEGRAM if api_token else WITHOUT_API
        print(words, file=sys.stderr)  # noqa: T201 - a command's answer
        return 1
    logging.configure(debug=settings.debug)
    asyncio.run(serve(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
