"""The site: what is made from the code is whole, and a dead link is found."""

from __future__ import annotations

from pathlib import Path

import pytest

mkdocs = pytest.importorskip("mkdocs.exceptions", reason="MkDocs is not installed: the site cannot be built")

from bench.tools.site import PARTS, on_page_markdown, on_post_build  # noqa: E402


@pytest.mark.parametrize("form", ["host", "protocol", "site", "settings"])
def test_every_key_of_a_file_is_described(form: str) -> None:
    rows = [line.split(" | ") for line in PARTS[form]().splitlines() if line.startswith("| `")]
    assert rows
    assert [row[0] for row in rows if not row[-1].removesuffix("|").strip()] == []


def test_every_document_has_its_keys() -> None:
    parts = PARTS["documents"]().split("### ")[1:]
    assert all("| `schema` | `1` | yes |" in part for part in parts[:15])
    assert "`results[].verdict` | `" in parts[0]


def test_a_part_that_nobody_makes_is_an_error() -> None:
    assert "**Stores**" in on_page_markdown("<!-- made: rules -->")
    with pytest.raises(KeyError):
        on_page_markdown("<!-- made: nothing -->")


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
