"""What `make image` says about layers, tried on archives like those of `docker save`; an engine is not needed."""

import io
import json
import tarfile
from pathlib import Path

from scripts import image
from tests.tooling.test_leaks import kinds

Layer = dict[str, str]


def packed(files: Layer) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
        link = tarfile.TarInfo("venv/bin/python")
        link.type, link.linkname = tarfile.SYMTYPE, "/usr/bin/python3"
        tar.addfile(link)
    return buffer.getvalue()


def saved(folder: Path, settings: str, *layers: Layer) -> Path:
    """An image with these layers, as `save` writes it."""
    names = [f"{number}.tar" for number in range(len(layers))]
    contents = dict(zip(names, map(packed, layers), strict=True))
    contents["settings.json"] = settings.encode()
    contents["manifest.json"] = json.dumps([{"Config": "settings.json", "Layers": names}]).encode()
    with tarfile.open(folder / "image.tar", "w") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return folder / "image.tar"


def test_an_image_without_secrets_has_none(tmp_path: Path) -> None:
    archive = saved(tmp_path, '{"config": {"Env": ["API_PORT=8000"]}}', {"app/main.py": "print('school')\n"})

    assert image.secrets_within(archive) == []


def test_a_secret_is_found_though_a_later_layer_deletes_it(tmp_path: Path) -> None:
    archive = saved(tmp_path, "{}", {"app/.env": kinds(1)["lyceum.assigned"]}, {"app/.wh..env": ""})

    assert image.secrets_within(archive) == ["layer-0/app/.env:1: lyceum.assigned"]


def test_a_secret_among_the_settings_is_found(tmp_path: Path) -> None:
    archive = saved(tmp_path, json.dumps({"config": {"Env": [kinds(2)["lyceum.assigned"].strip()]}}), {})

    assert image.secrets_within(archive) == ["settings.json:1: lyceum.assigned"]


def test_what_debian_and_pypi_publish_is_no_secret(tmp_path: Path) -> None:
    key = kinds(3)["betterleaks.private-key"]
    layer = {"usr/share/doc/example": key, "venv/lib/python3.11/site-packages/tests/key.py": key, "srv/usr.key": key}

    assert image.secrets_within(saved(tmp_path, "{}", layer)) == ["layer-0/srv/usr.key:1: betterleaks.private-key"]
