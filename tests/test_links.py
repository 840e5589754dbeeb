"""Links and runs of linked blocks, derived from executions, against those that QEMU made."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.traces.links import ANY_EXIT, NO_EXIT, Exits, Linker, LinkIsa, Links, linker
from bench.traces.store import load_trace


class Recording:
    """A recorded execution with the link events of the same run (``../shared/data/linking``)."""

    def __init__(self, shared: Path, name: str) -> None:
        folder = shared / "data" / "linking"
        self.columns = np.load(folder / f"{name}.npz")
        self.meta: dict[str, Any] = json.loads(str(self.columns["meta"]))
        self.words = np.frombuffer(lzma.decompress((folder / f"{name}.exec.u32.xz").read_bytes()), "<u4")
        self.system = self.meta["mode"] == "system"

    def derived(self, exits: Exits) -> Linker:
        events = [self.columns[f"{event}_pos"].astype(np.int64) for event in ("flush", "exc", "ret", "io")]
        found = Linker(exits, np.unique(np.concatenate(events)))
        for start in range(0, self.words.size, 1 << 20):
            found.add(self.words[start : start + (1 << 20)])
        return found

    @property
    def of_text(self) -> Exits:
        cflags = self.columns["tb_cflags"]
        return Exits.of_text(
            self.meta["isa"],
            self.columns["tb_guest_pc"],
            self.columns["tb_guest_size"].astype(np.uint32),
            [text.decode() for text in self.columns["tb_last"]],
            system=self.system,
            cut_short=(cflags & 0x81FF > 0) & (cflags & 0x8000 == 0) & self.system,
        )

    @property
    def of_lengths(self) -> Exits:
        sizes = self.columns["tb_guest_size"].astype(np.uint32)
        return Exits.of_lengths(self.columns["tb_guest_pc"], sizes, system=self.system)

    @property
    def real(self) -> dict[tuple[int, int, int], int]:
        """Source, slot and target of each link, and the execution that made it first."""
        return _first(*(self.columns[f"link_{column}"] for column in ("src", "slot", "dst", "pos")))


def _first(*columns: Any) -> dict[tuple[int, int, int], int]:
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return {row[:3]: row[3] for row in reversed([*rows])}


def keyed(links: Links) -> dict[tuple[int, int, int], int]:
    return _first(links.source, links.slot, links.target, links.position)


@pytest.mark.parametrize("name", ["arm_wc", "arm_luajit", "arm_mt", "a64_awk", "rv64_gzip"])
def test_links_runs_and_uses_of_a_user_program_are_those_that_qemu_made(shared: Path, name: str) -> None:
    recording = Recording(shared, name)
    found = recording.derived(recording.of_text)
    assert keyed(found.links) == recording.real
    assert found.links.uses.sum() == recording.meta["entered_linked"]
    assert found.begun.sum() == recording.meta["executions"] - recording.meta["entered_linked"]


def test_threads_that_race_for_an_exit_move_six_links(shared: Path) -> None:
    recording = Recording(shared, "arm_mtjit")
    found, real = keyed(recording.derived(recording.of_text).links), recording.real
    assert found.keys() == real.keys()
    assert sum(found[link] != position for link, position in real.items()) == 6


@pytest.mark.slow
def test_links_of_a_boot_are_real_but_for_conditional_coprocessor_writes(shared: Path) -> None:
    recording = Recording(shared, "sys_boot")
    found = recording.derived(recording.of_text)
    links, real = keyed(found.links), recording.real
    assert links.items() >= real.items()
    false = links.keys() - real.keys()
    assert len(false) == 19
    assert {recording.columns["tb_last"][source].split()[0] for source, _, _ in false} == {b"mcrne"}
    assert (recording.meta["entered_linked"], found.links.uses.sum()) == (43_150_308, 43_151_208)


@pytest.mark.parametrize("name", ["arm_wc", "arm_gzip", "arm_luajit", "arm_mt", "arm_mtjit", "arm_pigz"])
def test_without_the_text_all_links_are_found_and_few_others(shared: Path, name: str) -> None:
    recording = Recording(shared, name)
    found = recording.derived(recording.of_lengths)
    pairs = {(source, target) for source, _, target in keyed(found.links)}
    assert pairs >= {(source, target) for source, _, target in recording.real}
    assert 0.964 <= recording.meta["entered_linked"] / found.links.uses.sum() <= 1


@pytest.mark.parametrize(
    ("isa", "text", "exits"),
    [
        ("arm", "b #0x1040", (0x1040, None)),
        ("arm", "bls.w #0x1040", (0x1040, 0x1008)),
        ("arm", "bllt #0x1040", (0x1040, 0x1008)),
        ("arm", "cbnz r0, #0x1040", (0x1040, 0x1008)),
        ("arm", "bl #0x2040", (None, None)),
        ("arm", "bx lr", (None, None)),
        ("arm", "bxls lr", (None, 0x1008)),
        ("arm", "pop.w {r4, pc}", (None, None)),
        ("arm", "pop {r4}", (None, 0x1008)),
        ("arm", "ldrls pc, [pc, r6, lsl #2]", (None, 0x1008)),
        ("arm", "movs pc, lr", (None, None)),
        ("arm", "movs r3, #1", (None, 0x1008)),
        ("arm", "mcr p15, #0, r7, c3, c0, #0", (None, None)),
        ("arm", "wfene", (None, 0x1008)),
        ("arm", "cpsid i", (None, None)),
        ("arm", "isb sy", (None, 0x1008)),
        ("a64", "b.ne #0x1040", (0x1008, 0x1040)),
        ("a64", "tbz w2, #0, #0x1040", (0x1008, 0x1040)),
        ("a64", "bl #0x1040", (0x1040, None)),
        ("a64", "ret", (None, None)),
        ("a64", "isb", (0x1008, None)),
        ("a64", "mov w0, w28", (None, 0x1008)),
        ("a64", "b #0x10?0", (None, None)),
        ("rv64", "j 56 # 0x10?0", (None, None)),
        ("rv64", "beqz a5,56 # 0x1040", (0x1040, 0x1008)),
        ("rv64", "j 56 # 0x1040", (0x1040, None)),
        ("rv64", "jalr ra,a5,0", (None, None)),
        ("rv64", "csrrw a0,sscratch,a0", (None, None)),
        ("rv64", "mv a1,a2", (0x1008, None)),
    ],
)
def test_the_last_instruction_gives_the_exits(isa: LinkIsa, text: str, exits: tuple[int | None, int | None]) -> None:
    found = Exits.of_text(isa, np.array([0x1000], np.uint64), np.array([8], np.uint32), [text])
    assert found.address.tolist() == [[NO_EXIT if address is None else address for address in exits]]


def test_what_comes_between_and_other_pages_and_two_targets_begin_a_run() -> None:
    pc = np.array([0x1000, 0x1008, 0x1100, 0x1200, 0x2000], np.uint64)
    exits = Exits.of_lengths(pc, np.full(5, 8, np.uint32))
    assert exits.address[:2].tolist() == [[ANY_EXIT, 0x1008], [ANY_EXIT, 0x1010]]

    def begun(*blocks: int, between: tuple[int, ...] = ()) -> list[int]:
        found = Linker(exits, np.array(between, np.int64))
        for block in blocks:
            found.add(np.array([block], np.uint32))
        return found.begun.tolist()

    assert begun(0, 1, 0, 1, 0, 1) == [2, 1, 0, 0, 0]  # each of the two exits is made once, then used
    assert begun(0, 1, 0, 1, between=(3,)) == [2, 2, 0, 0, 0]
    assert begun(0, 2, 0, 3, 0, 3) == [3, 0, 1, 2, 0]  # one target that is not behind the block
    assert begun(0, 4, 0, 4) == [2, 0, 0, 0, 2]
    assert begun(0, 1, 0, 0x8000_0001, 0, 1) == [3, 1, 0, 0, 0]  # stopped: entered, and did not run


def test_both_exits_of_a_block_are_used_as_often_as_they_are_taken() -> None:
    pc = np.array([0x1000, 0x1008, 0x1100], np.uint64)
    found = Linker(Exits.of_lengths(pc, np.full(3, 8, np.uint32)), np.empty(0, np.int64))
    # The exit in slot 1 leads behind a block, the one in slot 0 to the first other address.
    through, made = found.add(np.array([0, 1, 0, 1, 0, 2, 0, 2, 0, 2], np.uint32))
    rows = {(int(source), int(slot), int(target)): n for n, (_, source, slot, target, _) in enumerate(made)}
    assert rows == {(0, 1, 1): 0, (1, 0, 0): 1, (0, 0, 2): 2, (2, 0, 0): 3}
    assert through.tolist() == [-1, -1, -1, 0, 1, -1, -1, 2, 3, 2]
    assert found.links.uses.tolist() == [1, 1, 2, 1]


def test_most_executions_of_the_shipped_boot_are_within_runs() -> None:
    trace = load_trace("linux-boot")
    found = linker(trace)
    chunks = trace.executions()
    found.add(next(chunks))
    assert 0 < found.begun.sum() < 0.4 * (1 << 20)
