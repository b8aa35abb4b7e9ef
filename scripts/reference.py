"""docs/reference.md, every route and schema of the API on paper: `python -m scripts.reference write|check`.

Made from the same document as /openapi.json, so it cannot say anything else; CI fails when it lags behind.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backend.core.config import Settings
from backend.core.openapi import describe
from main import create_app

PAGE = Path(__file__).parents[1] / "docs" / "reference.md"
HEAD = """# Reference

Every route and every schema of the API, made from `/openapi.json` by `make reference`.
How to use them: [integration.md](integration.md).
"""
METHODS = ("get", "post", "put", "delete")


def document() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            _env_file=None,  # the reader's own settings say nothing about the API
            secret_key="reference-0123456789-abcdefghij-ABCDEFGHIJ",  # noqa: S106 - signs nothing
            database_url=f"sqlite:///{folder}/none.db",
            run_jobs=False,
            sandbox=False,
        )
        return describe(create_app(settings), "")


def page(api: dict[str, Any]) -> str:
    schemas = api["components"]["schemas"]
    heading = "| route | what | who | takes | gives |\n|---|---|---|---|---|"
    parts = [HEAD, "## Routes\n", heading, *_routes(api["paths"])]
    for name in sorted(schemas):
        parts += [f"\n## {name}\n", *_schema(schemas[name])]
    return "\n".join(parts) + "\n"


def _routes(paths: dict[str, Any]) -> Iterator[str]:
    for path, item in paths.items():
        for method in (method for method in METHODS if method in item):
            route = item[method]
            needs = route["description"].strip().rsplit("\n\n", 1)[-1]
            takes = _content(route.get("requestBody", {}))
            query = ", ".join(f"`{each['name']}`" for each in route.get("parameters", []) if each["in"] == "query")
            given = {code: _content(answer) for code, answer in route["responses"].items() if code.startswith("2")}
            gives = " or ".join(f"{code} {what}".strip() for code, what in given.items())
            taken = ", ".join(filter(None, (takes, query)))
            about = f"{_cell(route['summary'])} | {_cell(needs)}"
            yield f"| `{method.upper()} {path}` | {about} | {taken} | {gives} |"


def _content(body: dict[str, Any]) -> str:
    found = {kind: _type(each["schema"]) for kind, each in body.get("content", {}).items() if "schema" in each}
    return " or ".join(dict.fromkeys(found.values()))


def _schema(schema: dict[str, Any]) -> Iterator[str]:
    if about := schema.get("description"):
        yield _cell(about) + "\n"
    yield "| field | type | |\n|---|---|---|"
    required = set(schema.get("required", ()))
    for name, field in schema.get("properties", {}).items():
        notes = [_cell(field["description"])] if "description" in field else []
        notes += ["required"] if name in required else []
        notes += [f"{limit} {field[key]}" for key, limit in LIMITS.items() if key in field]
        yield f"| `{name}` | {_type(field)} | {'; '.join(notes)} |"


LIMITS = {
    "minimum": "at least",
    "maximum": "at most",
    "minLength": "at least so long:",
    "maxLength": "at most so long:",
}


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(map(_type, options)))
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("const") or schema.get("type", "any"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").removesuffix(".")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("write", "check"))
    made = page(document())
    if parser.parse_args().action == "write":
        PAGE.write_text(made, "utf-8")
    elif not PAGE.exists() or PAGE.read_text("utf-8") != made:
        sys.exit("docs/reference.md is behind the code: make reference")


if __name__ == "__main__":
    main()
