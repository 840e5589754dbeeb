"""The parts of the reference that are made from the code, and what MkDocs asks for while it builds the site.

A part of ``PARTS`` stands in its page between ``<!-- made: NAME -->`` and ``<!-- made -->``; `make record` writes it.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import griffe
import msgspec
from mkdocs.exceptions import PluginError
from msgspec import inspect as types

ROOT = Path(__file__).resolve().parents[2]
_MADE = re.compile(r"(?<=<!-- made: )([\w -]+) -->\n(.*?)(?=<!-- made -->)", re.DOTALL)


def with_parts(page: str) -> str:
    """The text of a page with its parts as they are now.  Raises ``KeyError`` for a part that nobody makes."""
    return _MADE.sub(lambda found: f"{found[1]} -->\n\n{PARTS[found[1]]().strip()}\n\n", page)


def on_post_build(config: Any, **_: Any) -> None:
    """Refuse a built site with a link to a file, or a place in one, that is not in it (a hook of MkDocs)."""
    folder = Path(config["site_dir"]).resolve()
    pages = {page: _Links(page.read_text(encoding="utf-8")) for page in sorted(folder.rglob("*.html"))}
    for page, links in pages.items():
        if page.name == "404.html":  # its links are those of any folder
            continue
        for link in links.to:
            path, _hash, place = unquote(link).partition("#")
            target = (page.parent / path.partition("?")[0]).resolve() if path else page
            if not target.exists() or (place and target in pages and place not in pages[target].places):
                raise PluginError(f"{page.relative_to(folder)}: a dead link, {link}")


class _Links(HTMLParser):
    """What a page links ``to`` within the site, and the ``places`` in it that can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.to: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.places.add(value)
            elif name in ("href", "src") and value and not re.match(r"[a-z]+:|//|#__|#$", value):
                self.to.append(value)


def _commands() -> str:
    """Every command with its arguments and options, as typer documents them."""
    arguments = ("-m", "typer", "bench.commands.application", "utils", "docs", "--name", "staleline")
    text = subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return re.sub(r"^##", "###", "## " + text.partition("\n## ")[2], flags=re.MULTILINE)


def _rules() -> str:
    """The rules of the machine, as they stand at the top of ``bench/machine``."""
    text = importlib.import_module("bench.machine").__doc__ or ""
    rules = text[text.index("Rule 1.") : text.index("The rooms:")]
    return re.sub(r"^Rule (\d+)\. ", r"\1.  ", rules, flags=re.MULTILINE).replace("``", "`")


def _api() -> str:
    """Every public name, with its signature and what it says of itself."""
    import staleline

    return "\n\n".join(f"::: staleline.{name}" for name in staleline.__all__ if not name.startswith("_"))


class Doctests(griffe.Extension):
    """Shows the examples in docstrings as blocks of code (an extension of griffe, which reads them for the site)."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            examples = r"^>>> .*\n(?:.+\n)*"
            obj.docstring.value = re.sub(
                examples, "```pycon\n\\g<0>```\n", f"{obj.docstring.value}\n", flags=re.MULTILINE
            )


# --- the keys of JSON documents ---------------------------------------------------------------------------------------


def _documents() -> str:
    """Every key of every document, from the schema that real output is held against."""
    schema = _schema()
    parts = schema["$defs"]
    order = [one["$ref"].rpartition("/")[2] for one in schema["oneOf"]]
    lines: list[str] = []
    for name in dict.fromkeys((*order, *parts)):
        rows = [*_json_rows(parts[name], "")]
        if rows:
            lines += [f"### {name}", "", "| key | value | always |", "|---|---|---|", *rows, ""]
    return "\n".join(lines)


@functools.cache
def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((ROOT / "docs" / "staleline.schema.json").read_text(encoding="utf-8"))
    return schema


def _json_rows(part: Mapping[str, Any], path: str) -> Iterator[str]:
    """A row for each key below a part of the schema, and for those of objects in it."""
    always = part.get("required", ())
    for key, value in part.get("properties", {}).items():
        place = f"{path}.{key}".lstrip(".")
        yield f"| `{place}` | {_json_value(value)} | {'yes' if key in always else ''} |"
        yield from _json_rows(value, place)
        yield from _json_rows(value.get("items", {}), f"{place}[]")
    for one in (*part.get("oneOf", ()), *part.get("allOf", ())):
        yield from _json_rows(one, path)


def _json_value(part: Mapping[str, Any]) -> str:
    """What a value is, in words."""
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        there = _schema()["$defs"][name]
        return f"[{name}](#{name})" if any(_json_rows(there, "")) else _json_value(there)
    if "const" in part:
        return f"`{json.dumps(part['const'])}`"
    if "enum" in part:
        return ", ".join(f"`{json.dumps(one)}`" for one in part["enum"])
    if "oneOf" in part:
        return " or ".join(map(_json_value, part["oneOf"]))
    kind = part.get("type", "any")
    if part.get("minimum") == 0:
        return f"{kind}, 0 or more"
    if kind == "array":
        return f"array of {_json_value(part.get('items', {}))}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


# --- the keys of TOML files -------------------------------------------------------------------------------------------


def _form(path: str, *hidden: str) -> str:
    """The keys of a file, from the type that it is read into: a table for it, and one for each type of its tables."""
    module, _, name = path.rpartition(".")
    kind = getattr(importlib.import_module(module), name)
    places: dict[type, list[str]] = {}
    _collect(types.type_info(kind), "", places)
    return "\n\n".join(_keys(one, where, hidden) for one, where in places.items())


def _collect(info: types.Type, place: str, places: dict[type, list[str]]) -> None:
    """Where each type of table stands in the file, in the order of the file."""
    if isinstance(info, types.StructType):
        places.setdefault(info.cls, []).append(place)
        for field in info.fields:
            _collect(field.type, f"{place}.{field.name}".lstrip("."), places)
    elif isinstance(info, types.DictType):
        _collect(info.value_type, f"{place}.NAME", places)
    elif isinstance(info, types.UnionType):
        for option in info.types:
            _collect(option, place, places)
    elif isinstance(info, types.VarTupleType):
        _collect(info.item_type, f"{place}[]", places)


def _keys(kind: type, places: list[str], hidden: tuple[str, ...]) -> str:
    says = _said(kind)
    lines = [f"#### {', '.join(f'`{place}`' for place in places)}" if places != [""] else "#### The file itself", ""]
    lines += [inspect.cleandoc(kind.__dict__.get("__doc__") or "").replace("``", "`"), ""]
    lines += ["| key | value | default | what it is |", "|---|---|---|---|"]
    for field in msgspec.structs.fields(kind):
        if field.name in hidden:
            continue
        info = next(one.type for one in _struct(kind).fields if one.name == field.name)
        default = "" if field.required else _toml(field.default)
        lines.append(f"| `{field.name}` | {_value(info)} | {default} | {says[field.name]} |")
    return "\n".join(lines)


def _struct(kind: type) -> types.StructType:
    info = types.type_info(kind)
    assert isinstance(info, types.StructType)
    return info


def _said(kind: type) -> dict[str, str]:
    """What the text below each field says of it, in the type and in those that it is derived from."""
    found = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("bench."):
            (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
            assert isinstance(tree, ast.ClassDef)
            for one, after in pairwise(tree.body):
                match one, after:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                        found[name] = " ".join(text.split()).replace("``", "`")
    return found


def _toml(value: object) -> str:
    """A default as the file would say it; none for what is then not there."""
    if value is msgspec.NODEFAULT or value is None or value in ("", (), {}) or isinstance(value, msgspec.Struct):
        return "none"
    return f"`{json.dumps(value)}`"


def _value(info: types.Type) -> str:
    """The values that a key takes, in words."""
    return " or ".join(dict.fromkeys(_kinds(info)))


def _kinds(info: types.Type) -> Iterator[str]:
    match info:
        case types.LiteralType(values=values):
            yield from (f"`{json.dumps(value)}`" for value in values)
        case types.IntType() | types.FloatType():
            word = "integer" if isinstance(info, types.IntType) else "number"
            ends = (("at least", info.ge), ("above", info.gt), ("at most", info.le), ("below", info.lt))
            yield " ".join([word, *(f"{text} {end:,.12g}" for text, end in ends if end is not None)])
        case types.StrType():
            yield "text"
        case types.BoolType():
            yield "`true` or `false`"
        case types.NoneType():
            return
        case types.UnionType(types=options):
            for option in options:
                yield from _kinds(option)
        case types.VarTupleType(item_type=item):
            yield f"array: {_value(item)}"
        case types.DictType(value_type=value):
            yield f"table of names: {_value(value)}"
        case types.StructType():
            yield "table"
        case _:
            raise NotImplementedError(info)


PARTS: dict[str, Callable[[], str]] = {
    "commands": _commands,
    "rules": _rules,
    "api": _api,
    "documents": _documents,
    "host": partial(_form, "bench.hosts.profile.Host", "derived", "file"),
    "protocol": partial(_form, "bench.protocols.document._Document"),
    "site": partial(_form, "bench.sites.reader._SiteFile"),
    "settings": partial(_form, "bench.support.settings.Settings"),
}
