"""The sandbox as a process of its own: `python -m backend.sandbox --port 8110 --state FILE`."""

import argparse
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from backend.sandbox import mount


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m backend.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=8081)
    parser.add_argument("--state", type=Path, default=None, help="a file; in memory without it")
    parser.add_argument("--name", default="Lyceum", help="the name of the bot")
    parser.add_argument("--token", default=None, help="also know a bot with this token")
    given = parser.parse_args()
    app = FastAPI(openapi_url=None, telemetry={"tracing": False, "metrics": False, "logs": False})
    sandbox = mount(app, path=given.state, name=given.name, page=False)
    if given.token:
        sandbox.hub.world.create_bot(given.name, "own_school_bot", given.token)
    print(f"token {sandbox.token}", flush=True)  # noqa: T201 - whoever starts it needs the token
    uvicorn.run(app, host="127.0.0.1", port=given.port, log_level="warning", proxy_headers=False)


if __name__ == "__main__":
    main()
