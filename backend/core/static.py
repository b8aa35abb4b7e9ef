"""Static files: hashed addresses that are cached for ever, gzip made once, stylesheets as one file.

`assets.url("js/app.js")` -> `/static/3f2a9c01/js/app.js`. Files that name each other share a hash
(all of js/), so that a relative `import` finds its neighbour; everything else has its own.
"""

import gzip
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from starlette.types import Receive, Scope, Send

ROOT = Path(__file__).parents[2] / "static"
PREFIX = "/static"
BUNDLE = "css/lyceum.css"
FOREVER = b"public, max-age=31536000, immutable"

# What is served at all: a file of another kind (a licence, a lock file) has no address.
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".png": "image/png",
    ".ico": "image/x-icon",
}
PACKED = frozenset({".woff2", ".png"})


@dataclass
class Asset:
    """One file, read when first asked for: Swagger's megabytes stay on the disk until then."""

    path: Path | None
    media_type: str
    content: bytes = b""

    @cached_property
    def plain(self) -> bytes:
        return self.path.read_bytes() if self.path else self.content

    @cached_property
    def gzipped(self) -> bytes | None:
        if self.path and self.path.suffix in PACKED:
            return None
        return gzip.compress(self.plain, 9, mtime=0)


class Assets:
    """The files under `root` as they were at the start; an ASGI app to mount at /static."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self._assets: dict[str, Asset] = {}
        self._urls: dict[str, str] = {}
        files = dict(self._files())
        scripts = _digest(*(p.read_bytes() for name, p in files.items() if name.startswith("js/")))
        for name, path in files.items():
            if name.startswith("css/"):
                continue
            if name.startswith("js/"):
                self._add(name, scripts, Asset(None, TYPES[".js"], _lean(path.read_text("utf-8"))))
            else:
                self._add(name, _digest(path.read_bytes()), Asset(path, TYPES[path.suffix]))
        self._add_bundle([path for name, path in files.items() if name.startswith("css/")])

    def url(self, name: str) -> str:
        """The address of a file. Raises LookupError that names it."""
        try:
            return self._urls[name]
        except KeyError:
            raise LookupError(f"static/{name} does not exist") from None

    def names(self, folder: str) -> list[str]:
        return [name for name in self._urls if name.startswith(folder)]

    def weight(self, name: str) -> int:
        """Bytes on the wire with gzip."""
        asset = self._assets[self._urls[name].removeprefix(f"{PREFIX}/")]
        return len(asset.gzipped or asset.plain)

    def _files(self) -> Iterator[tuple[str, Path]]:
        for path in sorted(self.root.rglob("*")):
            if path.suffix in TYPES and path.is_file() and not path.is_symlink():
                yield path.relative_to(self.root).as_posix(), path

    def _add(self, name: str, digest: str, asset: Asset) -> None:
        self._assets[f"{digest}/{name}"] = asset
        self._urls[name] = f"{PREFIX}/{digest}/{name}"

    def _add_bundle(self, sheets: list[Path]) -> None:
        """Our stylesheets in the order of their names, each `url("vendor/...")` with its hash."""
        text = "\n".join(sheet.read_text("utf-8") for sheet in sheets)
        text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
        text = re.sub(r"\n\s*", "\n", text)
        text = re.sub(r'url\("((?!data:)[^"]+)"\)', lambda match: f'url("{self.url(match[1])}")', text)
        content = text.encode()
        self._add(BUNDLE, _digest(content), Asset(None, TYPES[".css"], content))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError("static files are served over http only")
        if scope["method"] not in {"GET", "HEAD"}:
            await _answer(send, scope, 405, b"", [(b"allow", b"GET, HEAD")])
            return
        asset = self._assets.get(scope["path"].partition(f"{PREFIX}/")[2])
        if asset is None:
            headers = [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"cache-control", b"no-store"),
            ]
            await _answer(send, scope, 404, b"Not found", headers)
            return
        packed = asset.gzipped if _takes_gzip(scope) else None
        headers = [
            (b"content-type", asset.media_type.encode()),
            (b"cache-control", FOREVER),
            (b"vary", b"Accept-Encoding"),
        ]
        if packed is not None:
            headers.append((b"content-encoding", b"gzip"))
        await _answer(send, scope, 200, packed if packed is not None else asset.plain, headers)


def _lean(script: str) -> bytes:
    """A script of ours without its comments and indents; no text of one goes over several lines (tests look)."""
    return re.sub(r"\n\s*", "\n", re.sub(r"(?m)^\s*//.*$", "", script)).lstrip().encode()


def _digest(*contents: bytes) -> str:
    return hashlib.sha256(b"\0".join(contents)).hexdigest()[:10]


def _takes_gzip(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name == b"accept-encoding":
            for part in value.decode("latin-1").lower().split(","):
                coding, _sep, weight = part.strip().partition(";")
                if coding in {"gzip", "*"}:
                    return weight.replace(" ", "") not in {"q=0", "q=0.0"}
    return False


async def _answer(send: Send, scope: Scope, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


assets = Assets()
