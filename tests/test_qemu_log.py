"""Importing QEMU logs: recorded ones against what was recorded beside them, and every trap on small ones."""

from __future__ import annotations

import gzip
import io
import itertools
import lzma
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.support.errors import InputError
from bench.traces import log_lines
from bench.traces.guests import arm_accesses, mips_accesses, parse_instruction
from bench.traces.log_input import read_log
from bench.traces.qemu_log import import_log
from bench.traces.successor import STOPPED, UNKNOWN_TB
from bench.traces.trace import Trace

# --- small logs ----------------------------------------------------------------------------------------------

A, B, C = 0x7F00_0000_0100, 0x7F00_0000_0200, 0x7F00_0000_0300
PROLOGUE = "PROLOGUE: [size=45]\n0x7f0000000000:  55                       pushq    %rbp\n\n"
LOAD = "e5910000  ldr      r0, [r1]"
MOVE = "e3a00008  mov      r0, #8"


def translated(address: int, pc: int, *code: str, size: int = 64, offsets: bool = False, slow: bool = True) -> str:
    """An IN and an OUT block: each of ``code`` has 8 host bytes, the slow paths begin 8 bytes before the 8 of data."""
    guest, at = "", pc
    marks = ""
    for i, line in enumerate(code):
        guest += f"0x{at:08x}:  {line}\n"
        shown = at & 0xFFF if offsets else at
        marks += f"  -- guest addr 0x{shown:08x}{' + tb prologue' if i == 0 else ''}\n"
        marks += f"0x{address + 8 * i:x}:  8b 5d f0                 movl     -0x10(%rbp), %ebx\n"
        opcode = line.split("  ")[0]
        at += len(opcode.replace(" ", "")) // 2 if "\t" not in line else 4
    end = (
        f"  -- tb slow paths + alignment\n0x{address + size - 16:x}:  90                       nop      \n"
        if slow
        else ""
    )
    return (
        f"----------------\nIN: symbol\n{guest}\nOUT: [size={size}]\n{marks}{end}"
        f"  data: [size=8]\n0x{address + size - 8:x}:  .quad  0x0000555aedf60c70\n\n"
    )


def ran(thread: int, address: int, pc: int, symbol: str = "symbol") -> str:
    return f"Trace {thread}: 0x{address:x} [00800400/{pc:08x}/00000120/ff000200] {symbol}\n"


def linking(source: int, slot: int, target: int) -> str:
    return f"Linking TBs 0x{source:x} index {slot} -> 0x{target:x}\n"


def stopped(address: int, pc: int) -> str:
    return f"Stopped execution of TB chain before 0x{address:x} [{pc:08x}] symbol\n"


TWO = translated(A, 0x10000, LOAD, MOVE) + translated(B, 0x20000, MOVE, LOAD, LOAD)
RAN_A, RAN_B = ran(0, A, 0x10000), ran(0, B, 0x20000)
STOP_A = stopped(A, 0x10000)


def abort(level: int = 0) -> str:
    return (
        f"Taking exception 4 [Data Abort] on CPU 0\n...from EL{level} to EL1\n"
        "...with ESR 0x24/0x9200003f\n...with DFSR 0x17 DFAR 0x148d48\n"
    )


def back(pc: int) -> str:
    return f"Exception return from AArch32 svc to usr PC 0x{pc:x}\n"


def imported(log: str | bytes, tmp_path: Path) -> Trace:
    file = tmp_path / "small.log"
    file.write_bytes(log if isinstance(log, bytes) else log.encode())
    return import_log(str(file), tmp_path / "small.trace")


def words(trace: Trace) -> list[int]:
    return [int(word) for chunk in trace.executions() for word in chunk]


# --- what a log says -----------------------------------------------------------------------------------------


def test_a_log_gives_its_tbs_and_executions_in_order(tmp_path: Path) -> None:
    trace = imported(PROLOGUE + TWO + RAN_A + ran(3, B, 0x20000) + RAN_A, tmp_path)
    assert words(trace) == [0, 3 << 24 | 1, 0]
    blocks = trace.blocks
    assert blocks.host_bytes.tolist() == [64, 64]
    assert blocks.fast_bytes.tolist() == [48, 48]
    assert blocks.guest_pc.tolist() == [0x10000, 0x20000]
    assert blocks.guest_bytes.tolist() == [8, 12]
    assert blocks.instructions.tolist() == [2, 3]
    assert blocks.accesses.tolist() == [1, 2]
    assert (trace.guest, trace.mode, trace.threads, trace.access_tag) == ("arm", "user", 2, "measured")
    without = imported(translated(A, 0x10000, MOVE, slow=False) + RAN_A, tmp_path)
    assert without.blocks.fast_bytes.tolist() == [56]  # it ends at its data


def test_a_last_line_that_is_cut_off_is_ignored(tmp_path: Path) -> None:
    whole = TWO + RAN_A
    for rest in ("Trace 0: 0x7f00", RAN_B[:-1], "garbage", "Tak"):
        assert words(imported(whole + rest, tmp_path)) == [0]


def test_a_translation_that_is_cut_off_is_no_tb(tmp_path: Path) -> None:
    cut = translated(C, 0x30000, LOAD)
    for end in (cut.index("IN:"), cut.index("OUT:"), cut.index("-- tb slow"), len(cut) - 2):
        assert len(imported(TWO + RAN_A + cut[:end], tmp_path).blocks) == 2


@pytest.mark.parametrize(
    ("lines", "stops"),
    [
        pytest.param(RAN_A * 2 + STOP_A + RAN_B, [1], id="the last of its thread"),
        pytest.param(RAN_A + ran(1, B, 0x20000) * 5 + STOP_A, [0], id="after lines of other threads"),
        # The latest line of that address is thread 1's, but thread 1 has executed since.
        pytest.param(RAN_A + ran(1, A, 0x10000) + ran(1, B, 0x20000) + STOP_A, [0], id="another has gone on"),
        pytest.param(RAN_A + ran(1, A, 0x10000) + STOP_A + RAN_B, [0], id="of two, who goes on: 0"),
        pytest.param(RAN_A + ran(1, A, 0x10000) + STOP_A + ran(1, B, 0x20000), [1], id="of two, who goes on: 1"),
        pytest.param(RAN_A + ran(1, A, 0x10000) + 2 * STOP_A, [0, 1], id="two at one address"),
    ],
)
def test_a_stop_marks_an_execution_of_the_thread_that_may_have_stopped(
    lines: str, stops: list[int], tmp_path: Path
) -> None:
    trace = imported(TWO + lines, tmp_path)
    assert trace.stopped.tolist() == stops
    assert [at for at, word in enumerate(words(trace)) if word & STOPPED] == stops


def test_a_host_address_that_goes_back_is_a_flush(tmp_path: Path) -> None:
    log = PROLOGUE + TWO + RAN_A + RAN_B + translated(A, 0x30000, LOAD)
    trace = imported(log + ran(0, A, 0x30000), tmp_path)
    assert trace.flushes.tolist() == [2]
    assert trace.blocks.epoch.tolist() == [0, 0, 1]
    assert trace.blocks.born.tolist() == [0, 0, 2]
    assert words(trace) == [0, 1, 2]
    with pytest.raises(InputError, match="translated before"):  # what was there before it is gone
        imported(log + RAN_B, tmp_path)


def test_the_same_address_again_is_a_discarded_tb_if_it_never_ran_and_a_flush_if_it_did(tmp_path: Path) -> None:
    trace = imported(TWO + RAN_A + translated(B, 0x30000, LOAD) + ran(0, B, 0x30000), tmp_path)
    assert (trace.discarded.tolist(), trace.flushes.tolist(), words(trace)) == ([1], [], [0, 2])
    again = translated(A, 0x30000, LOAD) + ran(0, A, 0x30000)
    trace = imported(translated(A, 0x10000, LOAD) + RAN_A + again, tmp_path)
    assert (trace.discarded.tolist(), trace.flushes.tolist()) == ([], [1])


def test_with_several_cpus_going_back_is_another_region_unless_a_tb_is_there(tmp_path: Path) -> None:
    irq = "Taking exception 5 [IRQ] on CPU 1\n...from EL1 to EL1\n...with ESR 0x11/0x44000000\n"
    log = translated(B, 0x10000, LOAD) + ran(0, B, 0x10000) + ran(1, B, 0x10000) + irq
    other_region = imported(log + translated(A, 0x20000, LOAD) + ran(1, A, 0x20000), tmp_path)
    assert other_region.flushes.size == 0
    flushed = log + translated(C, 0x20000, LOAD) + ran(1, C, 0x20000) + translated(B + 16, 0x30000, LOAD)
    assert imported(flushed + ran(0, B + 16, 0x30000), tmp_path).flushes.tolist() == [3]


def test_lines_of_strace_may_be_glued_to_others(tmp_path: Path) -> None:
    call = '10933 futex(0x7f61,FUTEX_PRIVATE_FLAG|FUTEX_WAIT,2,NULL,"Trace 0: 0x1",0)'
    third = translated(C, 0x30000, MOVE)
    for glued in (third.replace("OUT:", call + "OUT:"), third.replace("IN:", call + "IN:"), call + third):
        log = TWO + call + RAN_A + " = 0\n" + call + " = -1 errno=11 (Try again)\n" + glued
        log += ran(1, C, 0x30000) + call + stopped(C, 0x30000)
        assert words(imported(log, tmp_path)) == [0, STOPPED | 1 << 24 | 2]


def test_an_instruction_may_have_no_host_line_or_two(tmp_path: Path) -> None:
    log = translated(A, 0x10000, "2800       cmp      r0, #0", "bf18       it       ne", "6808       ldr      r0, [r1]")
    line = "  -- guest addr 0x00010002\n0x7f0000000108:  8b 5d f0                 movl     -0x10(%rbp), %ebx\n"
    assert line in log
    trace = imported(log.replace(line, "") + RAN_A + abort() + back(0x10004), tmp_path)
    assert trace.blocks.instructions.tolist() == [3]
    assert trace.blocks.guest_bytes.tolist() == [6]
    assert trace.retranslations.rewritten_bytes.tolist() == [48]
    long = "0x7f0000000104:  48 be 40 28 db 3e 69 55  movabsq  $0x55693edb2840, %rsi\n0x7f000000010c:  00 00\n"
    mark = "  -- guest addr 0x00010004\n0x7f0000000108"
    log = translated(A, 0x10000, LOAD, MOVE).replace(mark, long + mark.replace("108", "110"))
    assert len(imported(log + RAN_A, tmp_path).blocks) == 1


def test_a_block_printed_again_after_a_buffer_overflow_counts_once(tmp_path: Path) -> None:
    block = translated(B, 0x20000, MOVE)
    again = block[: block.index("OUT:")]
    assert len(imported(translated(A, 0x10000, LOAD) + again + block + RAN_B, tmp_path).blocks) == 2


# --- faults --------------------------------------------------------------------------------------------------


def test_a_data_abort_rewrites_up_to_the_instruction_that_is_returned_to(tmp_path: Path) -> None:
    log = TWO + RAN_A + RAN_B + abort() + RAN_A + back(0x20004)
    restores = imported(log, tmp_path).retranslations
    assert restores.position.tolist() == [1]
    assert restores.tb.tolist() == [1]
    assert restores.rewritten_bytes.tolist() == [16]
    assert restores.accesses.tolist() == [1]


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(abort(1) + back(0x20004), id="not from user mode"),
        pytest.param(abort() + back(0x20000), id="no load or store"),
        pytest.param(abort() + back(0x30000), id="another TB"),
        pytest.param(abort() + "Exception return from AArch32 abt to svc PC 0x20004\n", id="to another mode"),
        pytest.param(abort(), id="no return"),
        pytest.param(ran(1, B, 0x20000) + abort() + back(0x20004), id="several CPUs"),
    ],
)
def test_what_a_data_abort_rewrites_is_unknown_where_the_log_does_not_say(after: str, tmp_path: Path) -> None:
    restores = imported(TWO + RAN_B + after, tmp_path).retranslations
    assert restores.rewritten_bytes.tolist() == [-1]
    assert restores.accesses.tolist() == [-1]


def test_other_exceptions_and_io_recompilations_restore_nothing(tmp_path: Path) -> None:
    names = ("1 [Undefined Instruction]", "2 [SVC]", "3 [Prefetch Abort]", "5 [IRQ]", "11 [Hypervisor Call]")
    log = TWO + RAN_A + "".join(f"Taking exception {name} on CPU 0\n" for name in names)
    trace = imported(log + RAN_B + "cpu_io_recompile: rewound execution of TB to c07d6bf8\n", tmp_path)
    assert dict(trace.exceptions) == {"undef": 1, "svc": 1, "prefetch-abort": 1, "irq": 1, "hvc": 1}
    assert (trace.mode, len(trace.retranslations), trace.io_recompiles.tolist()) == ("system", 0, [1])


def test_a_fault_before_the_first_execution_of_an_excerpt_is_counted_but_in_no_execution(tmp_path: Path) -> None:
    trace = imported(abort() + TWO + RAN_A, tmp_path)
    assert (dict(trace.exceptions), len(trace.retranslations)) == ({"data-abort": 1}, 0)
    with pytest.raises(InputError, match="a fault on CPU 0"):
        imported(PROLOGUE + abort() + TWO + RAN_A, tmp_path)


def test_signals_belong_to_the_thread_that_most_lines_of_their_env_follow(tmp_path: Path) -> None:
    segv, other = "user_queue_signal env=0xa0 signal 11\n", "user_queue_signal env=0xb0 signal 11\n"
    mine, theirs = ran(1, A, 0x10000), ran(2, B, 0x20000)
    log = TWO + mine + segv + mine + segv + theirs + other + mine + theirs + segv
    trace = imported(log, tmp_path)
    assert trace.retranslations.position.tolist() == [0, 1, 2, 3]
    assert trace.retranslations.thread.tolist() == [1, 1, 2, 1]
    assert dict(trace.exceptions) == {"signal-11": 4}
    assert trace.retranslations.rewritten_bytes.tolist() == [-1] * 4


def test_only_signals_of_a_load_or_store_restore(tmp_path: Path) -> None:
    log = TWO + RAN_A
    log += "user_queue_signal env=0xa0 signal 4\nuser_handle_signal env=0xa0 signal 11\n"
    log += "user_queue_signal env=0xa0 signal 7\n"
    trace = imported(log, tmp_path)
    assert (len(trace.retranslations), dict(trace.exceptions)) == (1, {"signal-4": 1, "signal-7": 1})


MIPS = translated(A, 0x8010_0000, "addiu\tsp,sp,-24", "lw\tv0,0(a0)", "jr\tra", "nop")


def mips_exception(pc: int, address: int, name: str = "TLB load") -> str:
    return (
        f"do_raise_exception_err: 26 ({name}) 3\n"
        f"mips_cpu_do_interrupt enter: PC {pc:08x} EPC 00460930 {name} exception\n"
        f"mips_cpu_do_interrupt: PC 80000180 EPC {pc:08x} cause 2\n"
        f"    S 00400002 C 00000008 A {address:08x} D 00000000\n"
    )


def test_a_mips_guest_names_the_faulting_instruction_and_a_fetch_that_faults_restores_nothing(tmp_path: Path) -> None:
    log = MIPS + ran(0, A, 0x8010_0000)
    trace = imported(log + mips_exception(0x8010_0004, 0x1234), tmp_path)
    assert (trace.guest, trace.mode, dict(trace.exceptions)) == ("mips", "system", {"tlb-load": 1})
    assert trace.blocks.accesses.tolist() == [1]
    assert trace.retranslations.rewritten_bytes.tolist() == [16]
    fetched = imported(log + mips_exception(0x8010_0004, 0x8010_0004), tmp_path)
    assert (len(fetched.retranslations), dict(fetched.exceptions)) == (0, {"tlb-load": 1})


def test_a_system_log_gives_offsets_in_the_page(tmp_path: Path) -> None:
    trace = imported(translated(A, 0xC010_0F20, LOAD, MOVE, offsets=True) + ran(0, A, 0xC010_0F20), tmp_path)
    assert (trace.blocks.guest_pc.tolist(), trace.mode) == ([0xC010_0F20], "system")


# --- guest instructions --------------------------------------------------------------------------------------


# By the number of their accesses.
ARM = {
    0: "mov r0, r1; pld [r1, #0x100]; clrex; adr r3, #0x14; bl #0x10; mcr p15, #0, r0, c7, c5, #4; strange; it ne; "
    "teq r0, r1",
    1: "ldr r0, [r1]; ldrb.w r0, [r1]; ldrls pc, [pc, r2, lsl #2]; ldrhi r0, [r1]; ldrh r0, [r1]; ldrsb r0, [r1]; "
    "strbhs r0, [r1]; ldrht r0, [r1]; push {r2}; ldrex r0, [r1]; ldrexd r0, r1, [r2]; tbb [pc, r0]; vldr d0, [r1]; "
    "vst1.32 {d0[1]}, [r1]",
    2: "ldrd r0, r1, [r2]; strdne r0, r1, [r2]; stmib sp, {r0, lr}; popeq {r4, pc}; stmibne r0, {r1, r2}; "
    "strexeq r0, r1, [r2]; vstmia ip!, {d8, d9}; swp r0, r1, [r2]",
    3: "vld3.8 {d0[], d1[], d2[]}, [r1]",
    4: "vldmia r0, {q0, q1}; vld1.8 {d0, d1, d2, d3}, [r1]!",
    6: "ldm r0!, {r1, r4-r7, pc}; push.w {r4, r5, sb, sl, fp, lr}; vpush {d8-d13}",
    8: "vld2.16 {d0, d1}, [r1]",
}
MIPS_CODE = {
    0: "swl v0,0(a0); lui v0,0x8010; sll v0,v1,2; slt v0,v1,a0; sync ; cache 0x15,0(a0); pref 4,0(a0); syscall ; "
    "subu v0,v1,a0",
    1: "lw v0,0(a0); lbu v0,0(a0); sh v0,0(a0); lwl v0,0(a0); ll v0,0(a0); ldc1 $f0,0(a0); swxc1 $f0,a0(a1)",
    2: "sc v0,0(a0)",
}


@pytest.mark.parametrize(("counted", "table"), [(arm_accesses, ARM), (mips_accesses, MIPS_CODE)], ids=["arm", "mips"])
def test_accesses_of_instructions(counted: Callable[[bytes, bytes], int], table: dict[int, str]) -> None:
    for accesses, code in table.items():
        for text in code.split("; "):
            mnemonic, _, operands = text.encode().partition(b" ")
            assert counted(mnemonic, operands) == accesses, text


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["e5910000", "2800", "f04f 0e00"]),
            st.sampled_from([" ", "  ", "       "]),
            st.sampled_from(["ldr", "ldrd", "push", "pop.w", "vld1.8", "add", "b", "it", "m_1"]),
            st.sampled_from(["", " ", "      "]),
            st.sampled_from(["r0, [r1]", "{r0}", "{r4, lr}", "{d0, d1}, [r1]!", "", "{" + "r0, " * 20 + "r1}"]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_an_instruction_counts_the_same_the_next_time(code: list[tuple[str, str, str, str, str]]) -> None:
    # The first time it is read here, then the scanner knows its text.
    lines = ["".join(parts) for parts in code]
    expected = [parse_instruction(line.encode(), "arm") for line in lines]
    log, at = "", A
    for _ in range(3):
        block = translated(at, 0x10000, MOVE, slow=False)
        guest, pc = "", 0x10004
        for line, read in zip(lines, expected, strict=True):
            guest += f"0x{pc:08x}:  {line}\n"
            pc += read.size
        log += block.replace("\n\nOUT", f"\n{guest}\nOUT")
        at += 64
    with tempfile.TemporaryDirectory() as folder:
        blocks = imported(log + RAN_A, Path(folder)).blocks
    assert blocks.accesses.tolist() == [sum(read.accesses for read in expected if read)] * 3
    assert blocks.guest_bytes.tolist() == [4 + sum(read.size for read in expected if read)] * 3


# --- many lines ----------------------------------------------------------------------------------------------

SYMBOLS = ("", "f", "symbol", "a" * 40, "b" * 70, "c" * 200)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from([0, 0, 1, 9, 10, 127]), st.integers(0, 3), st.sampled_from(SYMBOLS)), st.none()
        ),
        max_size=40,
    ),
    st.integers(1, 3),
)
def test_trace_lines_name_the_tb_that_is_there(events: list[tuple[int, int, str] | None], repeated: int) -> None:
    # None: everything is discarded and translated again, to the same places and from the same code.
    places = [(A + 64 * i, 0x10000 + 16 * i) for i in range(4)]
    log, expected, epoch, ran_since = "", [], -1, True
    for event in [None, *events * repeated]:
        if event is None:
            if ran_since:
                log += "".join(translated(address, pc, LOAD) for address, pc in places)
                epoch += 1
                # Of the first TB there the address must go back, or it would be one translated twice.
                log += ran(0, *places[3])
                expected.append(4 * epoch + 3)
        else:
            thread, place, symbol = event
            log += ran(thread, *places[place], symbol)
            expected.append(thread << 24 | 4 * epoch + place)
    with tempfile.TemporaryDirectory() as folder:
        trace = imported(log, Path(folder))
        assert words(trace) == expected
    assert trace.flushes.size == epoch


def test_tables_grow_with_the_log(tmp_path: Path) -> None:
    count = 3000
    code = [MOVE] * 300
    log = "".join(
        translated(A + 64 * i, 0x10000 + 4 * i, LOAD) + ran(0, A + 64 * i, 0x10000 + 4 * i) for i in range(count)
    )
    # Guest code whose host code is not printed: all of it in another place, of which one is.
    last = A + (1 << 20)
    for i in range(200):
        log += translated(last, 0x5000 + 0x1000 * i, *code).partition("OUT:")[0]
    for i in (150, 100):
        host = "OUT:" + translated(last, 0x5000 + 0x1000 * i, *code, size=4096).partition("OUT:")[2]
        trace = imported(log + host + ran(0, last, 0x5000 + 0x1000 * i), tmp_path)
        assert words(trace) == [*range(count), count]
        assert trace.blocks.guest_pc.tolist()[-2:] == [0x10000 + 4 * (count - 1), 0x5000 + 0x1000 * i]
        assert (trace.blocks.instructions[-1], trace.blocks.accesses[-1]) == (300, 0)
    # The oldest is forgotten.
    host = "OUT:" + translated(last, 0x5000, *code, size=4096).partition("OUT:")[2]
    with pytest.raises(InputError, match="host code for guest address 0x5000"):
        imported(log + host, tmp_path)


# --- blocks of lines -----------------------------------------------------------------------------------------


def reader(text: bytes, sizes: list[int]) -> Callable[[memoryview], int]:
    """A ``readinto`` that gives ``text``, ``sizes`` bytes at a time."""
    file, size = io.BytesIO(text), itertools.cycle(sizes)
    return lambda view: file.readinto(view[: next(size)])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line)), st.lists(st.integers(1, 50), min_size=1)
)
def test_blocks_are_whole_lines_in_order(lines: list[bytes], sizes: list[int]) -> None:
    text = b"\n".join(lines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_lines, "LONGEST_LINE", 40)
        blocks = [bytes(buffer[:end]) for buffer, end in log_lines.ahead(log_lines.cut(reader(text, sizes)))]
    assert all(block.endswith(b"\n") for block in blocks)
    assert b"".join(blocks) == text[: text.rfind(b"\n") + 1]


@pytest.mark.parametrize("longest", [640, 641, 700, 1000, 4096])
def test_a_log_holds_the_same_wherever_its_blocks_end(
    longest: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = (FUZZED + 20 * (ran(0, A, 0x30000) + ran(11, A, 0x30000, "a longer one"))).encode()
    whole = imported(log, tmp_path)
    monkeypatch.setattr(log_lines, "LONGEST_LINE", longest)
    cut = imported(log, tmp_path)
    assert words(cut) == words(whole)
    for column in COLUMNS:
        np.testing.assert_array_equal(getattr(cut.blocks, column), getattr(whole.blocks, column))
    assert cut.retranslations.position.tolist() == whole.retranslations.position.tolist()
    damaged = log.replace(b"Trace 11", b"Trace 1x", 17)
    for place in (longest, 1 << 20):
        monkeypatch.setattr(log_lines, "LONGEST_LINE", place)
        with pytest.raises(InputError) as error:
            imported(damaged, tmp_path)
        assert error.value.place == f"line {FUZZED.count(chr(10)) + 2}"


def test_what_is_wrong_with_the_file_comes_after_its_lines() -> None:
    def readinto(view: memoryview) -> int:
        if sizes:
            view[: len(sizes[0])] = sizes[0]
            return len(sizes.pop(0))
        raise InputError("damaged")

    sizes = [b"one\ntw", b"o\nthree"]
    lines = log_lines.ahead(log_lines.cut(readinto))
    buffer, end = next(lines)
    assert buffer[:end] == b"one\ntwo\n"
    with pytest.raises(InputError, match="damaged"):
        next(lines)


def test_a_thread_that_reads_ahead_ends_with_the_iteration() -> None:
    before = threading.active_count()
    endless = ((bytearray(b"\n"), 1) for _ in itertools.count())
    lines = log_lines.ahead(endless)
    next(lines)
    assert threading.active_count() == before + 1
    lines.close()
    assert threading.active_count() == before


# --- bad input -----------------------------------------------------------------------------------------------

GOOD = TWO + RAN_A


@pytest.mark.parametrize(
    ("log", "line", "expected"),
    [
        ("", 1, "translations"),
        ("\n\n", 3, "translations"),
        ("hello\n\x00\x01\x02\n", 3, "translations"),
        (TWO[: TWO.index("OUT:")], None, "host code (-d out_asm)"),
        (TWO, None, "Trace lines"),
        (RAN_A, 2, "translations"),
        (GOOD + "Trace 0: 7f0000000100 [0/0/0/0] x\n", None, "Trace THREAD"),
        (GOOD + "Trace 0: 0x7f0000000100 [00800400/00010000/00000120] x\n", None, "Trace THREAD"),
        (GOOD + "Trace x: 0x7f0000000100 [0/10000/0/0] x\n", None, "Trace THREAD"),
        (GOOD + "Trac" + RAN_A[3:], None, "a line of QEMU's"),
        (GOOD + ran(128, A, 0x10000), None, "a thread number"),
        (GOOD + ran(0, A, 0x10004), None, "the guest address of the TB"),
        (PROLOGUE + GOOD + ran(0, C, 0x10000), None, "translated before"),
        (GOOD + stopped(B, 0x20000), None, "a Trace line of that address"),
        (GOOD + STOP_A * 2, None, "a Trace line of that address"),
        (GOOD + "Stopped execution of TB chain\n", None, "Stopped execution of TB chain before"),
        (GOOD + "Taking exception four\n", None, "Taking exception NUMBER"),
        (GOOD + "...from EL9 to EL1\n", None, "...from ELx to ELy"),
        (GOOD + "Exception return\n", None, "Exception return from"),
        (GOOD + "user_queue_signal env=1 signal 11\n", None, "user_queue_signal env="),
        (GOOD + "user_handle_signal\n", None, "user_handle_signal env="),
        (GOOD + "    S 0 C 0 A 0 D 0\n", None, "S STATUS"),
        (MIPS + ran(0, A, 0x8010_0000) + mips_exception(1, 2).splitlines(True)[-1], None, "enter: ... before it"),
        ("IN: symbol\n", 1, "before it"),
        ("-----------\n", 1, "a line of QEMU's"),
        (TWO.replace("IN: symbol\n", "IN: symbol\n\n", 1), 3, "a guest instruction"),
        (TWO.replace("0x00010004:", "0x00010008:"), 4, "the guest address 0x10004"),
        (TWO.replace("e5910000  ldr", "48 89 e7  movq"), 4, "a guest instruction of x86-64"),
        (TWO.replace("e5910000  ldr", "e5910000ldr"), 3, "an instruction of the guest"),
        (GOOD + "Linking TBs 0x1 index 2 -> 0x2\n", None, "Linking TBs 0xHOST index SLOT -> 0xHOST"),
        (PROLOGUE + GOOD + linking(A, 0, C), None, "the host addresses of TBs"),
        (GOOD + "riscv_cpu_do_interrupt: hart:x\n", None, "riscv_cpu_do_interrupt: hart:CPU"),
        (GOOD + MIPS, None, "a guest instruction of arm"),
        (TWO.replace("OUT: [size=64]", "OUT: [size=0]", 1), 6, "its length in bytes"),
        (TWO.replace("OUT: [size=64]", "OUT: [size=big]", 1), 6, "OUT: [size=BYTES]"),
        (TWO.replace("OUT: [size=64]", "OUT: [size=40]", 1), 12, "the next line of an OUT block"),
        (TWO.replace(f"0x{A + 8:x}:", f"0x{A:x}:"), 10, "the next line of an OUT block"),
        (TWO.replace(f"0x{A + 8:x}:", "0xzz:"), 10, "the next line of an OUT block"),
        (TWO.replace("+ tb prologue", "", 1), 7, "the next line of an OUT block"),
        (TWO.replace("-- guest addr 0x00010000", "-- guest addr 0x00030000"), 16, "an IN block of that address"),
        (TWO.replace("-- guest addr 0x00010004", "-- guest addr 0x00010006"), 16, "an instruction of the TB at"),
        (TWO.replace("data: [size=8]", "data: [size=]", 1), 13, "the next line of an OUT block"),
        (TWO[: TWO.index("  data")] + RAN_A, None, "the next line of an OUT block"),
        (GOOD + PROLOGUE, None, "the log of one run"),
        # A block that ends too early, at the end of the log and before it.
        ("OUT: [size=64]\n\n", 2, "the next line of an OUT block"),
        ("OUT: [size=64]\n\n" + GOOD, 2, "the next line of an OUT block"),
        (TWO.replace("data: [size=8]", "data: [size=80]", 1), 13, "the next line of an OUT block"),
        (TWO.replace("IN: symbol\n", "IN: symbol\n" + RAN_A, 1), 3, "an instruction of the guest"),
    ],
)
def test_a_malformed_log_is_told_with_its_line(log: str, line: int | None, expected: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        imported(log, tmp_path)
    assert expected in error.value.expected
    assert error.value.file == str(tmp_path / "small.log")
    assert error.value.place.startswith("line ")
    if line is not None:
        assert error.value.place == f"line {line}"
    assert "\n" not in str(error.value)
    assert not (tmp_path / "small.trace").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.log"]


def test_a_line_without_end_and_files_that_cannot_be_read_or_written_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a line or a translation of more than"):  # before it fills the memory
        imported("x" * (3 << 20), tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        import_log(str(tmp_path / "none"), tmp_path / "small.trace")
    (tmp_path / "small.log").write_text(GOOD)
    for output in (tmp_path / "none" / "x.trace", tmp_path):
        with pytest.raises(InputError):
            import_log(str(tmp_path / "small.log"), output)


# --- compression ---------------------------------------------------------------------------------------------

CONTENT = (GOOD + RAN_B * 50).encode()
SKIPPED = b"\x52\x2a\x4d\x18\x05\0\0\0hello"  # a frame without data
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "zstd": zstandard.compress,
    "two gzip members": lambda data: gzip.compress(data[:100]) + gzip.compress(data[100:]),
    "zstd with a checksum": zstandard.ZstdCompressor(write_checksum=True).compress,
    "two zstd frames": lambda data: zstandard.compress(data[:100]) + SKIPPED + zstandard.compress(data[100:]),
}


@pytest.mark.parametrize("packer", PACKERS)
def test_compression_is_told_by_content(packer: str, tmp_path: Path) -> None:
    assert words(imported(PACKERS[packer](GOOD.encode()), tmp_path)) == [0]


def test_a_zstd_window_beyond_what_the_command_accepts_is_refused(tmp_path: Path) -> None:
    frame = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters.from_level(3, window_log=29)
    ).compressobj()
    with pytest.raises(InputError, match=r"damaged compression: .*too much memory"):
        imported(frame.compress(GOOD.encode()) + frame.flush(), tmp_path)


def test_standard_input_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(zstandard.compress(GOOD.encode()))))
    trace = import_log("-", tmp_path / "x.trace")
    assert (words(trace), trace.name) == ([0], "stdin")


@pytest.mark.parametrize("packer", ["gzip", "xz", "zstd", "zstd with a checksum"])
def test_damaged_compression_is_told_wherever_it_breaks_off(packer: str, tmp_path: Path) -> None:
    packed = PACKERS[packer](CONTENT)
    with pytest.raises(InputError, match="damaged compression"):
        imported(packed + b"rest of something else", tmp_path)
    for end in range(8, len(packed)):
        (tmp_path / "x").write_bytes(packed[:end])
        with pytest.raises(InputError, match="breaks off") as error:
            list(read_log(str(tmp_path / "x"), lambda _: None))
        assert error.value.place == f"byte {end}"


# --- any input -----------------------------------------------------------------------------------------------

FUZZED = PROLOGUE + TWO + RAN_A + abort() + RAN_B + back(0x10000) + stopped(B, 0x20000)
FUZZED += "user_queue_signal env=0xa0 signal 11\n" + translated(A, 0x30000, LOAD) + ran(0, A, 0x30000)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(FUZZED) - 1),
            st.integers(0, 60),
            st.one_of(
                st.binary(max_size=3), st.sampled_from([b"\n", b"0", b"f", b"Trace ", b"0x", b"----------------\n"])
            ),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_damage_is_told_or_harmless(changes: list[tuple[int, int, bytes]]) -> None:
    log = bytearray(FUZZED, "ascii")
    for at, removed, inserted in changes:
        log[at : at + removed] = inserted
    with tempfile.TemporaryDirectory() as folder:
        try:
            trace = imported(bytes(log), Path(folder))
        except InputError as error:
            assert "\n" not in str(error)
        else:
            assert trace.length == len(words(trace))


# --- recorded logs -------------------------------------------------------------------------------------------

COLUMNS = {"host_bytes": "tb_host_size", "fast_bytes": "tb_fast_size", "guest_pc": "tb_guest_pc", "epoch": "tb_epoch"}
COLUMNS |= {"guest_bytes": "tb_guest_size", "instructions": "tb_n_insn", "born": "tb_born"}
# Of these the whole log is here (`user_wc`) or its beginning.
RECORDED = {
    "user_wc": "user_wc.complete.log.zst",
    "user_gzip": "user_gzip.excerpt.log.zst",
    "user_mt": "user_mt.excerpt.log.zst",
    "sys_arm_virt_user": "sys_arm_virt_user.head.log.zst",
}


@pytest.fixture(scope="module", params=RECORDED)
def recorded(request: pytest.FixtureRequest, shared_traces: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A recorded log imported, its arrays, and its executions as recorded."""
    name = request.param
    trace = import_log(str(shared_traces / RECORDED[name]), tmp_path_factory.mktemp(name) / "x.trace")
    with np.load(shared_traces / f"{name}.npz") as file:
        arrays = dict(file)
    with lzma.open(shared_traces / f"{name}.exec.u32.xz") as file:
        executions = np.frombuffer(file.read(4 * trace.length), "<u4")
    return name, trace, arrays, executions


def test_executions_tbs_and_exceptions_are_those_recorded(recorded: Any) -> None:
    name, trace, arrays, executions = recorded
    found = np.concatenate(list(trace.executions()))
    assert found.size == executions.size
    assert ((found ^ executions) & np.uint32(STOPPED - 1) == 0).all()
    if name == "user_wc":
        assert trace.length == 326_477
    rows = len(trace.blocks)
    assert rows == (arrays["tb_born"] < trace.length).sum()
    for column, array in COLUMNS.items():
        np.testing.assert_array_equal(getattr(trace.blocks, column), arrays[array][:rows], column)
    for moments, array in ((trace.flushes, "flush_pos"), (trace.discarded, "discard_pos")):
        assert moments.tolist() == arrays[array][arrays[array] <= trace.length].tolist()
    kinds = {1: "undef", 2: "svc", 3: "prefetch-abort", 4: "data-abort", 5: "irq"}
    counted = np.bincount(arrays["exc_kind"][arrays["exc_pos"] <= trace.length], minlength=12)
    expected = {name: int(counted[kind]) for kind, name in kinds.items() if counted[kind]}
    assert {kind: count for kind, count in trace.exceptions.items() if kind in kinds.values()} == expected


def test_stops_are_those_recorded(recorded: Any) -> None:
    name, trace, _, executions = recorded
    expected = set(np.flatnonzero(executions >> np.uint32(31)).tolist())
    found = set(trace.stopped.tolist())
    if name == "sys_arm_virt_user":
        # The log's first execution was stopped; the recorder knew no TB for it and left it out.
        assert executions[0] == UNKNOWN_TB
        expected.add(0)
    if name == "user_mt":
        # The recorder took the latest line of the address.  Twice the thread of that line had executed
        # again before the stop was printed, so that it was another thread's.
        thread = (executions >> np.uint32(24)) & np.uint32(0x7F)
        assert sorted(expected - found) == [10_829, 19_234]
        assert sorted(found - expected) == [9_715, 13_618]
        assert thread[10_829] == thread[10_833] == 3 and thread[9_715] == 2
        assert not (thread[9_716:10_834] == 2).any()
        expected = expected - {10_829, 19_234} | {9_715, 13_618}
    assert found == expected


def test_faults_are_those_recorded(recorded: Any) -> None:
    _, trace, arrays, _ = recorded
    inside = arrays["fault_pos"] < trace.length
    restores = trace.retranslations
    assert restores.position.tolist() == arrays["fault_pos"][inside].tolist()
    assert restores.tb.tolist() == arrays["fault_tb"][inside].tolist()
    assert restores.thread.tolist() == arrays["fault_cpu"][inside].tolist()
    if "fault_guest_off_log" in arrays:
        known = restores.rewritten_bytes >= 0
        assert known.tolist() == (arrays["fault_guest_off_log"][inside] >= 0).tolist()
        # The faulting access ends inside the instruction to whose end the log leads; the one case in which
        # the log leads to another instruction is recorded as such.
        right = known & (arrays["fault_guest_off_log"] == arrays["fault_guest_off"])[inside]
        assert (known & ~right).sum() <= 1
        ends = arrays["fault_host_off"][inside]
        assert (restores.rewritten_bytes[right] >= ends[right]).all()
        firsts, counts = arrays["tb_chunk0"][restores.tb], arrays["tb_n_chunk"][restores.tb]
        starts = []
        for first, count, offset in zip(firsts, counts, arrays["fault_guest_off"][inside], strict=True):
            chunks = slice(int(first), int(first) + int(count))
            starts.append(arrays["chunk_host"][chunks][arrays["chunk_guest"][chunks] == offset][0])
        assert (np.array(starts)[right] < ends[right]).all()


def slow_paths(log: Path) -> list[int]:
    """Those of each block of system emulation, where every access has one, which begins by loading an argument."""
    text = b"".join(read_log(str(log), lambda _: None))
    return [
        block.partition(b"-- tb slow paths")[2].partition(b"\n\n")[0].count(b"movq     %rbp, %rdi\n")
        for block in text.split(b"\nOUT: ")[1:]
    ]


def test_accesses_are_the_slow_paths_that_qemu_emitted(shared_traces: Path, tmp_path: Path) -> None:
    log = shared_traces / "sys_arm_virt.abort.excerpt.log.zst"
    trace = import_log(str(log), tmp_path / "x.trace")
    assert trace.blocks.accesses.tolist() == slow_paths(log)
    assert trace.blocks.accesses.sum() > 1000
    assert trace.mode == "system"


def test_the_complete_log_of_four_threads(shared_traces: Path, tmp_path: Path) -> None:
    # Figures of the recording's own description.
    trace = import_log(str(shared_traces / "user_mt1.complete.log.zst"), tmp_path / "x.trace")
    assert (trace.length, len(trace.blocks)) == (1_359_160, 1_706)
    assert (trace.stopped.size, len(trace.retranslations)) == (363, 256)
    assert (trace.flushes.size, trace.discarded.size) == (1, 3)
    assert (dict(trace.exceptions), trace.mode) == ({"signal-11": 256}, "user")
    found = np.concatenate(list(trace.executions()))
    assert (found[trace.retranslations.position] & np.uint32(UNKNOWN_TB)).tolist() == trace.retranslations.tb.tolist()
