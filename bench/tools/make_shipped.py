"""Make the shipped traces from recorded QEMU executions.

``python -m bench.tools.make_shipped FOLDER -o FOLDER`` reads, in the first
folder, and writes ``NAME.trace`` for every name of ``SHIPPED`` into the second:

``sys_arm_virt_icount.npz``, ``sys_arm_virt_icount.exec.u32.xz``
    a boot of Linux 6.1 (armhf) with a busybox user space on QEMU 7.2
    ``-M virt -cpu cortex-a15 -icount shift=2,sleep=off``, x86-64 host, as arrays:
    ``linux-boot``;
``sys_arm_virt*.log.zst``
    raw logs of other runs of the same guest: its disassembly;
``user_gzip`` and ``user_sort``, ``.npz`` and ``.exec.u32.xz``
    runs of that busybox in user emulation, as arrays: ``user-gzip``, ``user-sort``;
``user_gzip.excerpt.log.zst``, ``user_wc.complete.log.zst``
    raw logs of the beginning of one of them and of another run: disassembly, and
    the latter is ``user-wc``;
``user_mt1.complete.log.zst``
    the raw log of a run with four worker threads: ``user-threads``.

A complete log is imported as by ``staleline trace import``.  The files are
reproducible byte for byte with the same version of zstd (1.5.7 for the shipped
ones).

The user-space part of the boot is kept: from the kernel's first state restore
(when it clears the first program's bss), rounded down to a whole million of TB
executions, to the end.  The executions before the restore warm up the caches of a
replay.  TBs that do not run in this part are dropped, and the others renumbered.
Runs in user emulation are kept completely.

The arrays hold no guest instructions, so ``accesses`` is an estimate.  A TB whose
instructions are all in the disassembly has an exact count.  For the others the
length of the slow paths is used: in system emulation QEMU emits one of about 28 bytes
per access behind the TB (29 for a load, 26 for a store, and padding to 8 bytes).
In user emulation only accesses that must be aligned have one; but the boot ran
the same busybox, so that most of these TBs (with the same guest address, length
and instructions) are in the boot with all slow paths.  The few others get
the mean number of accesses per instruction of the counted ones.  The line is fitted
on half of the known TBs, and its error, which the program prints, is measured on
the other half.

The arrays do not hold the I/O recompilations either, but each is followed by one
execution of a TB that is compiled for it alone, with the flag CF_MEMI_ONLY.
"""

from __future__ import annotations

import argparse
import contextlib
import lzma
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from bench.support.errors import InputError
from bench.traces.guests import parse_instruction
from bench.traces.log_input import read_log
from bench.traces.qemu_log import import_log
from bench.traces.shipped import DEFAULT_TRACE, SHIPPED
from bench.traces.store import save_trace
from bench.traces.successor import STOPPED, UNKNOWN_TB, Words
from bench.traces.trace import CHUNK, I32, U32, U64, Blocks, Mode, Retranslations, Trace

LEVEL: Final = 19

_MILLION: Final = 1_000_000
# QEMU 7.2, include/exec/exec-all.h.
_CF_MEMI_ONLY: Final = 0x0001_0000
# QEMU 7.2, target/arm/cpu.h: EXCP_UDEF and so on.
_EXCEPTIONS: Final = {1: "undef", 2: "svc", 3: "prefetch-abort", 4: "data-abort", 5: "irq", 11: "hvc"}

TraceArrays = dict[str, npt.NDArray[Any]]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Recording:
    """A recording as arrays: its file name, and the patterns of raw logs with the disassembly of its guest."""

    file: str
    mode: Mode
    logs: tuple[str, ...]


_BOOT: Final = _Recording("sys_arm_virt_icount", "system", ("sys_arm_virt*.log.zst",))
_BUSYBOX: Final = ("user_gzip.excerpt.log.zst", "user_wc.complete.log.zst")
_ARRAYS: Final = {
    DEFAULT_TRACE: _BOOT,
    "user-gzip": _Recording("user_gzip", "user", _BUSYBOX),
    "user-sort": _Recording("user_sort", "user", _BUSYBOX),
}
_LOGS: Final = {"user-threads": "user_mt1.complete.log.zst", "user-wc": "user_wc.complete.log.zst"}


@dataclass(frozen=True, slots=True)
class _InMemory:
    """Executions in one array."""

    all_words: Words

    def words(self) -> Iterator[Words]:
        for start in range(0, self.all_words.size, CHUNK):
            yield self.all_words[start : start + CHUNK].copy()


def make_shipped(name: str, folder: Path, output: Path) -> str:
    """Write the shipped trace ``name`` to the file ``output``, from the recordings in ``folder``.

    Returns one line on the quality of its access counts.  Raises ``InputError``
    if a recording is missing or the file cannot be written.
    """
    if name in _LOGS:
        trace = import_log(str(folder / _LOGS[name]), output, name=name, description=SHIPPED[name], level=LEVEL)
        # The links of all shipped traces are known from the lengths of the TBs.
        save_trace(replace(trace, exits=None), output, level=LEVEL)
        return f"accesses: those of all {len(trace.blocks)} TBs counted in the disassembly"
    trace, note = _from_arrays(name, _ARRAYS[name], folder)
    save_trace(trace, output, level=LEVEL)
    return note


def _from_arrays(name: str, recording: _Recording, folder: Path) -> tuple[Trace, str]:
    """The trace, and the line on the quality of its access counts."""
    arrays = _arrays(folder, recording)
    with _reading(folder / f"{recording.file}.exec.u32.xz") as path, lzma.open(path) as stream:
        executions = np.frombuffer(stream.read(), "<u4")
    system = recording.mode == "system"
    start = int(arrays["fault_pos"][0]) // _MILLION * _MILLION if system else 0
    words = executions[start:] & np.uint32(STOPPED - 1)
    stopped = np.flatnonzero(executions[start:] >> np.uint32(31))
    ids = words & np.uint32(UNKNOWN_TB)
    runs = np.zeros(arrays["tb_born"].size, np.bool_)
    runs[ids] = True
    kept = np.flatnonzero(runs)
    number = np.zeros(runs.size, np.uint32)
    number[kept] = np.arange(kept.size, dtype=np.uint32)

    disassembly = _disassembly(folder, recording.logs)
    slow = _slow_bytes(arrays) if system else _slow_bytes_in(_arrays(folder, _BOOT), arrays)
    accesses, known, note = _accesses(arrays, kept, disassembly, slow[kept])
    epoch = arrays["tb_epoch"][kept].astype(np.uint32)
    blocks = Blocks(
        host_bytes=arrays["tb_host_size"][kept].astype(np.uint32),
        fast_bytes=arrays["tb_fast_size"][kept].astype(np.uint32),
        guest_pc=arrays["tb_guest_pc"][kept].astype(np.uint64),
        guest_bytes=arrays["tb_guest_size"][kept].astype(np.uint32),
        instructions=arrays["tb_n_insn"][kept].astype(np.uint32),
        accesses=accesses,
        epoch=epoch - np.uint32((arrays["flush_pos"] <= start).sum()),
        born=np.maximum(arrays["tb_born"][kept].astype(np.int64) - start, -1),
    )
    after = arrays["exc_pos"] > start
    kinds, counts = np.unique(arrays["exc_kind"][after], return_counts=True)
    tb = number[arrays["fault_tb"]]
    rewritten = arrays["fault_host_off"].astype(np.int32)
    flushes = arrays["flush_pos"].astype(np.int64) - start
    discarded = arrays["discard_pos"].astype(np.int64) - start
    trace = Trace(
        name=name,
        description=SHIPPED[name],
        guest="arm",
        mode=recording.mode,
        access_tag="estimate",
        length=words.size,
        threads=int(np.unique(words >> np.uint32(24)).size),
        blocks=blocks,
        retranslations=Retranslations(
            position=arrays["fault_pos"].astype(np.int64) - start,
            tb=tb,
            thread=arrays["fault_cpu"].astype(np.uint32),
            rewritten_bytes=rewritten,
            accesses=_rewritten_accesses(arrays, disassembly, blocks, known, tb, rewritten),
        ),
        stopped=stopped,
        flushes=flushes[flushes >= 0],
        discarded=discarded[discarded >= 0],
        io_recompiles=np.flatnonzero(arrays["tb_cflags"][ids] & _CF_MEMI_ONLY) - 1,
        exceptions=MappingProxyType(
            {_EXCEPTIONS[kind]: count for kind, count in zip(kinds.tolist(), counts.tolist(), strict=True)}
        ),
        source=_InMemory((words & ~np.uint32(UNKNOWN_TB)) | number[ids]),
    )
    return trace, note


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[Path]:
    try:
        yield path
    except OSError as error:
        expected = "a recording that the shipped traces are made from"
        raise InputError(f"cannot be read: {error.strerror}", file=str(path), expected=expected) from error


def _arrays(folder: Path, recording: _Recording) -> TraceArrays:
    with _reading(folder / f"{recording.file}.npz") as path, np.load(path) as file:
        return dict(file)


def _disassembly(folder: Path, patterns: tuple[str, ...]) -> dict[int, int]:
    """The accesses of every instruction in the raw logs, by guest address."""
    logs: list[Path] = []
    for pattern in patterns:
        found = sorted(folder.glob(pattern))
        if not found:
            raise InputError("no such log", file=str(folder / pattern), expected="the guest's disassembly")
        logs += found
    accesses: dict[int, int] = {}
    for log in logs:
        rest, inside = b"", False
        for block in read_log(str(log), lambda _: None):
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                address, _, code = line.partition(b":  ")
                if line.startswith(b"IN:"):
                    inside = True
                elif inside and (read := parse_instruction(code, "arm")) is not None:
                    accesses[int(address, 16)] = read.accesses
                else:
                    inside = False
    return accesses


def _instructions(arrays: TraceArrays, tb: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The guest address and the end of the host code, for every instruction of a TB with host code."""
    rows = slice(int(arrays["tb_chunk0"][tb]), int(arrays["tb_chunk0"][tb]) + int(arrays["tb_n_chunk"][tb]))
    addresses = arrays["tb_guest_pc"][tb].astype(np.int64) + arrays["chunk_guest"][rows].astype(np.int64)
    ends = np.append(arrays["chunk_host"][rows][1:].astype(np.int64), arrays["tb_fast_size"][tb])
    return addresses, ends


def _slow_bytes(arrays: TraceArrays) -> F64:
    """The length in bytes of each TB's slow paths."""
    return (arrays["tb_host_size"] - arrays["tb_fast_size"] - arrays["tb_data_size"]).astype(np.float64)


def _slow_bytes_in(boot: TraceArrays, arrays: TraceArrays) -> F64:
    """The length of the slow paths of the boot's first TB with the same guest code as each TB; -1 without one."""
    known, first = np.unique(_guest_code(boot), return_index=True)
    wanted = _guest_code(arrays)
    at = np.minimum(np.searchsorted(known, wanted), known.size - 1)
    return np.where(known[at] == wanted, _slow_bytes(boot)[first[at]], -1.0)


def _guest_code(arrays: TraceArrays) -> U64:
    """The guest address, length and number of instructions of each TB, as one number."""
    pc, size, instructions = (arrays[f"tb_{key}"].astype(np.uint64) for key in ("guest_pc", "guest_size", "n_insn"))
    return pc << np.uint64(32) | size << np.uint64(16) | instructions


def _accesses(
    arrays: TraceArrays, kept: npt.NDArray[np.int64], disassembly: dict[int, int], slow: F64
) -> tuple[U32, npt.NDArray[np.bool_], str]:
    """The accesses of each kept TB, whether they were counted, and the quality of the estimate of the others.

    ``slow``: the length in bytes of the slow paths of the kept TBs in system emulation; -1: unknown.
    """
    counted = np.full(kept.size, -1, np.int64)
    for row, tb in enumerate(kept.tolist()):
        each = [disassembly.get(address, -1) for address in _instructions(arrays, tb)[0].tolist()]
        if each and min(each) >= 0:
            counted[row] = sum(each)
    known = counted >= 0
    measured = slow >= 0
    fitted, held_out = np.flatnonzero(known & measured)[::2], np.flatnonzero(known & measured)[1::2]
    slope, offset = np.polyfit(slow[fitted], counted[fitted], 1)
    instructions = arrays["tb_n_insn"][kept].astype(np.float64)
    share = counted[known].sum() / instructions[known].sum()
    estimate = np.where(measured, np.maximum(np.rint(slope * slow + offset), 0), np.rint(share * instructions))
    off = np.abs(estimate - counted)[held_out]
    note = (
        f"accesses: {known.mean():.1%} of {kept.size} TBs counted in the disassembly, the others estimated, "
        f"{(~known & ~measured).sum()} of them from their instructions alone; "
        f"on {held_out.size} TBs held out the estimate (one access per {1 / slope:.1f} bytes of slow paths) "
        f"is exact in {(off == 0).mean():.1%}, off by more than one in {(off > 1).mean():.2%}, "
        f"and off by {off.sum() / counted[held_out].sum():.1%} of all accesses"
    )
    return np.where(known, counted, estimate).astype(np.uint32), known, note


def _rewritten_accesses(
    arrays: TraceArrays,
    disassembly: dict[int, int],
    blocks: Blocks,
    known: npt.NDArray[np.bool_],
    tb: U32,
    rewritten: I32,
) -> I32:
    """The accesses up to and including the faulting one, from the rewritten bytes.

    Within an instruction with several accesses, and in a TB without an exact count, accesses are assumed to be
    distributed evenly over the host code.
    """
    result = np.empty(tb.size, np.int32)
    for i, (old, row, size) in enumerate(
        zip(arrays["fault_tb"].tolist(), tb.tolist(), rewritten.tolist(), strict=True)
    ):
        if known[row]:
            addresses, ends = _instructions(arrays, old)
            each = [disassembly[address] for address in addresses.tolist()]
            at = int(np.searchsorted(ends, size))
            begin = int(ends[at - 1]) if at else 0
            within = -(-each[at] * (size - begin) // int(ends[at] - begin))
            result[i] = max(sum(each[:at]) + within, 1)
        else:
            share = size / int(blocks.fast_bytes[row])
            result[i] = min(max(round(int(blocks.accesses[row]) * share), 1), max(int(blocks.accesses[row]), 1))
    return result


def main() -> int:
    """Run the program.  Returns the exit status, 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m bench.tools.make_shipped", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="folder of the recordings")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to write the .trace files in")
    parser.add_argument("--only", action="append", choices=SHIPPED, help="make only this trace; may be repeated")
    arguments = parser.parse_args()
    try:
        for name in arguments.only or SHIPPED:
            file = arguments.output / f"{name}.trace"
            note = make_shipped(name, arguments.folder, file)
            print(f"{file}: {file.stat().st_size:,} bytes; {note}")
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
