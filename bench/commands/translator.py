"""``staleline translator``."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.commands.names import one_of
from bench.commands.options import GuestBits, Written


def translator(
    *,
    name: Annotated[str, typer.Argument(help="A translator, such as arm or arm@2011.")],
    access: Annotated[str, typer.Option("--access", help="The guest access: load or store.")] = "load",
    guarded: Annotated[
        bool, typer.Option("--guarded", help="A branch of the guest's own may skip the access (the partial hazard).")
    ] = False,
    guest_bits: GuestBits = 32,
    written: Written,
) -> None:
    """Show what a backend emits for a guest access. Bytes, disassembly, order in time, and what a wrong word does.

    \b
    Example: staleline translator arm@2010 --access store
    """
    from bench.report.listings import ListingReport
    from bench.translators.listing import listing
    from bench.translators.registry import load_translator
    from bench.translators.translator import ACCESSES, GUEST_BITS

    emit = written.emitter()
    found = load_translator(name)
    accesses = (one_of("--access", access, ACCESSES),)
    block = found.block(0, accesses, guarded=guarded, guest_bits=one_of("--guest-bits", guest_bits, GUEST_BITS))
    emit(ListingReport(listing(found, block), access))
