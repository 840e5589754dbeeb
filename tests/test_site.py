"""The site: what is made from the code is whole, and a dead link is found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

mkdocs = pytest.importorskip("mkdocs.exceptions", reason="MkDocs is not installed: the site cannot be built")

from bench.tools.site import PARTS, on_post_build, with_parts  # noqa: E402 - needs what is imported above

DOCS = Path(__file__).resolve().parents[1] / "docs"


@pytest.mark.parametrize("form", ["host", "protocol", "site", "settings"])
def test_every_key_of_a_file_is_described(form: str) -> None:
    rows = [line.split(" | ") for line in PARTS[form]().splitlines() if line.startswith("| `")]
    assert rows
    assert [row[0] for row in rows if not row[-1].removesuffix("|").strip()] == []


def test_every_document_has_its_keys() -> None:
    parts = PARTS["documents"]().split("### ")[1:]
    assert all("| `schema` | `1` | yes |" in part for part in parts[:15])
    assert "`results[].verdict` | `" in parts[0]


MADE = [page for page in sorted(DOCS.glob("*.md")) if "<!-- made: " in page.read_text(encoding="utf-8")]


@pytest.mark.parametrize("page", MADE, ids=lambda page: page.stem)
def test_a_page_has_what_is_made_from_the_code(page: Path, request: pytest.FixtureRequest) -> None:
    text = page.read_text(encoding="utf-8")
    if request.config.getoption("--record"):
        text = with_parts(text)
        page.write_text(text, encoding="utf-8")
    assert with_parts(text) == text, f"pytest {Path(__file__).name} --record writes it anew"


def test_every_part_stands_in_one_page() -> None:
    found = re.findall(r"<!-- made: ([\w -]+) -->\n\n", "".join(page.read_text(encoding="utf-8") for page in MADE))
    assert sorted(found) == sorted(PARTS)
    with pytest.raises(KeyError):
        with_parts("<!-- made: nothing -->\n<!-- made -->")


@pytest.mark.parametrize(
    ("link", "dead"),
    [
        ("b.html#there", False),
        ("b.html", False),
        ("#here", False),
        ("c.html", True),
        ("b.html#gone", True),
        ("#gone", True),
    ],
)
def test_a_link_that_leads_nowhere_is_refused(link: str, dead: bool, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(f'<p id="here"><a href="{link}"></a><a href="https://example.org/x"></a></p>')
    (tmp_path / "b.html").write_text('<p id="there"></p>')
    if not dead:
        on_post_build({"site_dir": str(tmp_path)})
        return
    with pytest.raises(mkdocs.PluginError, match=f"a.html: a dead link, {link}"):
        on_post_build({"site_dir": str(tmp_path)})
