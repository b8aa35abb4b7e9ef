"""Compiled templates, kept beside their sources as Python keeps its own: a third of the start-up otherwise."""

from contextlib import suppress
from pathlib import Path

from jinja2.bccache import Bucket, FileSystemBytecodeCache


class BesideSources(FileSystemBytecodeCache):
    """`<templates>/__pycache__/`. A folder that cannot be written to, as in an image, only costs the time again."""

    def __init__(self, templates: Path) -> None:
        folder = templates / "__pycache__"
        with suppress(OSError):
            folder.mkdir(exist_ok=True)
        super().__init__(str(folder), "%s.jinja")

    def load_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError):
            super().load_bytecode(bucket)

    def dump_bytecode(self, bucket: Bucket) -> None:
        with suppress(OSError):
            super().dump_bytecode(bucket)
