"""Protocols and sites from the texts of their files, and the verdict on a site."""

from __future__ import annotations

from bench.check.sites import SiteVerdict, verify_site
from bench.hosts import load_target
from bench.protocols.document import Document, document_from
from bench.protocols.protocol import Protocol
from bench.sites.reader import load_site, parsed_site
from bench.sites.site import Site
from bench.support.toml import parse


def document(text: str) -> Document:
    return document_from(text, "mine")


def protocol(text: str) -> Protocol:
    """The first protocol in a text, whose operations may have semicolons between them."""
    return document(text.replace("; ", "\\n")).cases[0].protocol


def site(text: str) -> Site:
    return parsed_site(*parse(text.encode(), "mine.toml", "a site"))


def site_verdict(of: Site | str, host: str, scenario: str) -> SiteVerdict:
    """The verdict on a site, or on the one of that name in the library."""
    (found,) = verify_site(load_site(of) if isinstance(of, str) else of, load_target(host), [scenario])
    return found
