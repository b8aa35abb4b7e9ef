"""Runs a command with TEST_DATABASE_URL: a PostgreSQL server where databases may be created.

Taken in this order: the TEST_DATABASE_URL that is set already; a server on 127.0.0.1:5432 that
trusts local users; a private cluster in a temporary folder, from Debian's postgresql package, which
root gets installed when it is missing.

    python scripts/with_postgres.py [--durable] COMMAND [ARGUMENT...]

The private cluster gives up durability for speed, unless --durable is given (for benchmarks).
"""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
AS_ROOT = os.getuid() == 0


def trusted_server() -> str | None:
    """The URL of a local server that lets us in without a password and lets us create databases."""
    for user in ("postgres", getpass.getuser()):
        url = f"postgresql://{user}@127.0.0.1:5432/postgres"
        try:
            with psycopg.connect(url, connect_timeout=3) as connection:
                row = connection.execute(
                    "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
                ).fetchone()
        except psycopg.Error:
            continue
        if row and row[0]:
            return url
    return None


def server_programs() -> Path:
    """The folder of initdb and pg_ctl."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    on_path = shutil.which("initdb")
    if found:
        return found[-1].parent
    if on_path:
        return Path(on_path).resolve().parent
    if AS_ROOT and shutil.which("apt-get") and install():
        return server_programs()
    raise SystemExit(
        "PostgreSQL is missing: run 'sudo apt-get install postgresql', or set TEST_DATABASE_URL"
        " to a server where databases may be created"
    )


def install() -> bool:
    print("Installing PostgreSQL for the tests...", flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", "postgresql"]):
        done = subprocess.run(["apt-get", *arguments], env=environment, stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            return False
    return True


@contextmanager
def private_cluster(*, durable: bool) -> Iterator[str]:
    programs = server_programs()
    folder = Path(tempfile.mkdtemp(prefix="lyceum-postgres-"))
    owner = "postgres" if AS_ROOT else None  # initdb refuses to run as root
    if owner:
        shutil.chown(folder, owner, owner)
    port = free_port()
    settings = ("listen_addresses=127.0.0.1", f"unix_socket_directories={folder}")
    options = " ".join(f"-c {setting}" for setting in (*settings, *(() if durable else FAST)))

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [programs / program, "-D", folder / "data", *arguments],
            user=owner, group=owner, cwd=folder, stdout=subprocess.DEVNULL, check=True,
        )  # fmt: skip

    try:
        run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", f"-p {port} {options}", "start")
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(*, durable: bool) -> Iterator[str]:
    url = os.environ.get("TEST_DATABASE_URL") or trusted_server()
    if url:
        yield url
    else:
        with private_cluster(durable=durable) as private:
            yield private


def main(arguments: list[str]) -> int:
    durable = arguments[:1] == ["--durable"]
    command = arguments[1:] if durable else arguments
    if not command:
        print(__doc__)
        return 2
    with server(durable=durable) as url:
        print(f"PostgreSQL: {url.rpartition('@')[2]}", flush=True)
        environment = os.environ | {"TEST_DATABASE_URL": url}
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
