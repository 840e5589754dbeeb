"""Importing logs of any guest and of several versions of QEMU (``tests/data/logs`` says how they were recorded)."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_qemu_log import (
    LOAD,
    MIPS,
    RAN_A,
    RAN_B,
    TWO,
    A,
    B,
    imported,
    linking,
    mips_exception,
    ran,
    slow_paths,
    translated,
    words,
)

from bench.support.errors import InputError
from bench.traces.guests import GUESTS, aarch64_accesses, ppc_accesses, riscv_accesses, s390x_accesses, x86_accesses
from bench.traces.info import info
from bench.traces.links import linked
from bench.traces.qemu_log import import_log
from bench.traces.store import load_trace, save_trace
from bench.traces.trace import Guest, Links, Trace

LOGS = Path(__file__).parent / "data" / "logs"
RECORDED = sorted(path.name.removesuffix(".log.zst") for path in LOGS.glob("*.log.zst"))


def recorded(name: str, tmp_path: Path) -> Trace:
    return import_log(str(LOGS / f"{name}.log.zst"), tmp_path / f"{name}.trace")


def ends(trace: Trace, links: Links) -> list[tuple[int, int, int]]:
    """Source, slot and target of each link, the blocks by their guest addresses."""
    pc = trace.blocks.guest_pc.tolist()
    return [
        (pc[source], slot, pc[target])
        for source, slot, target in zip(*(c.tolist() for c in (links.source, links.slot, links.target)), strict=True)
    ]


# --- recorded logs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECORDED)
def test_the_guest_shows_and_each_execution_has_its_block(name: str, tmp_path: Path) -> None:
    trace = recorded(name, tmp_path)
    guest, _, rest = name.rpartition("-")
    assert (trace.guest, trace.mode) == (guest, "system" if rest.startswith("system") else "user")
    assert trace.access_tag == GUESTS[trace.guest].tag
    if trace.mode == "user":
        # The log begins with the prologue: it holds every translation.
        assert all(word < len(trace.blocks) for word in words(trace))
        assert (trace.blocks.accesses > 0).mean() > 0.4
        assert (trace.links is not None) == name.endswith(".linked")


@pytest.mark.parametrize("name", [name for name in RECORDED if name.endswith(".nochain")])
def test_lines_of_other_options_are_counted_and_strict_refuses_them(name: str, tmp_path: Path) -> None:
    trace = recorded(name, tmp_path)
    assert trace.unread["page layout changed"] > 2 and trace.unread["numbers"] > 10 and trace.unread["start"] > 2
    with pytest.raises(InputError, match="expected a line of QEMU's -d") as error:
        import_log(str(LOGS / f"{name}.log.zst"), tmp_path / "y.trace", strict=True)
    assert error.value.place == "line 1"


@pytest.mark.parametrize("name", [name.removesuffix(".linked") for name in RECORDED if name.endswith(".linked")])
def test_derived_links_are_those_of_the_same_run_with_linking_on(name: str, tmp_path: Path) -> None:
    without, with_links = (recorded(f"{name}.{kind}", tmp_path) for kind in ("nochain", "linked"))
    assert with_links.links is not None and len(with_links.links) > 20
    assert ends(without, linked(without).links) == ends(with_links, with_links.links)
    figures = info(with_links).links
    assert (figures.known, figures.made, figures.entered) == ("recorded", len(with_links.links), None)
    figures = info(without).links
    # What is entered through a link has no line where linking is on.
    assert (figures.known, figures.entered) == ("derived", without.length - with_links.length)
    with pytest.raises(InputError, match="expected one with -d nochain"):
        linked(with_links)


@pytest.mark.parametrize(("log", "links"), [("arm_wc", 901), ("arm_mtjit_small", 1281)])
def test_derived_links_are_those_of_a_whole_run(log: str, links: int, shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "linking"
    without, with_links = (
        import_log(str(folder / f"{log}.{kind}.log.zst"), tmp_path / f"{kind}.trace") for kind in ("nochain", "linked")
    )
    assert with_links.links is not None and len(with_links.links) == links
    found, real = ends(without, linked(without).links), ends(with_links, with_links.links)
    if without.threads == 1:
        assert found == real
    else:
        # Programs with threads run differently each time.
        assert len(set(found) & set(real)) > 0.9 * len(set(real))


def test_a_fault_names_its_instruction(tmp_path: Path) -> None:
    for name, kind in (("riscv64-system.excerpt", "load-page-fault"), ("aarch64-system.excerpt", "data-abort")):
        trace = recorded(name, tmp_path)
        assert (trace.exceptions[kind], len(trace.retranslations)) == (1, 1)
        assert 0 < trace.retranslations.rewritten_bytes[0] < trace.blocks.host_bytes[trace.retranslations.tb[0]]
        assert trace.interruptions.tolist() == [trace.retranslations.position[0] + 1]


@pytest.mark.parametrize("name", ["riscv64-system.excerpt", "aarch64-system.excerpt"])
def test_accesses_are_the_slow_paths_that_qemu_emitted(name: str, tmp_path: Path) -> None:
    assert recorded(name, tmp_path).blocks.accesses.tolist() == slow_paths(LOGS / f"{name}.log.zst")


def test_a_file_holds_links_exits_and_what_was_not_read(tmp_path: Path) -> None:
    for name in ("aarch64-qemu10.linked", "riscv64-system.excerpt"):
        trace = recorded(name, tmp_path)
        save_trace(trace, tmp_path / "again.trace")
        again = load_trace(tmp_path / "again.trace")
        assert (again.exits == trace.exits).all() and again.interruptions.tolist() == trace.interruptions.tolist()
        assert (again.links is None) == (trace.links is None) and dict(again.unread) == dict(trace.unread)
        if again.links is not None and trace.links is not None:
            assert ends(again, again.links) == ends(trace, trace.links)
            assert again.links.position.tolist() == trace.links.position.tolist()


# --- small logs -------------------------------------------------------------------------------------------------


def test_lines_that_were_refused_once_are_counted(tmp_path: Path) -> None:
    log = MIPS + ran(0, A, 0x8010_0000) + "Status 1000a400 (00008000) => 1000a401 (00008000) Cause 10808000\n"
    trace = imported(log + mips_exception(0x8010_0004, 0x1234) + "10933 Unknown syscall 398\n", tmp_path)
    assert dict(trace.unread) == {"Status": 1, "Unknown syscall": 1}
    assert len(trace.retranslations) == 1
    user = translated(A, 0x1_2000_0000, "daddiu\tsp,sp,-24", "ld\tv0,0(a0)").replace(
        "0x12", "0x00000001 2".replace(" ", "")
    )
    kernel = translated(B, 0x8010_0000, "lw\tv0,0(a0)").replace("0x80100000", "0xffffffff80100000")
    trace = imported(user + ran(0, A, 0x1_2000_0000) + kernel + ran(0, B, 0xFFFF_FFFF_8010_0000), tmp_path)
    assert (trace.guest, words(trace), trace.mode) == ("mips64", [0, 1], "system")
    assert trace.blocks.guest_pc.tolist() == [0x1_2000_0000, 0xFFFF_FFFF_8010_0000]


def test_a_needed_line_may_follow_any_other(tmp_path: Path) -> None:
    log = TWO + "hello, world" + RAN_A + '1 write(1,"Trace 0: 0x1",3)' + RAN_B
    trace = imported(log, tmp_path)
    assert (words(trace), dict(trace.unread)) == ([0, 1], {"hello": 1, "strace": 1})


@pytest.mark.parametrize(
    "line", ["Trac 0: 0x7f0000000100 [0/10000/0/0] x", "0x7f0000000100:  90   nop", "[size=64]: [size=6"]
)
def test_the_rest_of_a_damaged_line_is_told(line: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a line of QEMU's"):
        imported(TWO + RAN_A + line + "\n", tmp_path)


def test_a_link_belongs_to_the_thread_of_its_target_and_ends_with_the_buffer_or_another_link(tmp_path: Path) -> None:
    log = TWO + RAN_A + linking(A, 0, B) + ran(3, B, 0x20000) + linking(A, 0, A) + RAN_A
    trace = imported(log + translated(A, 0x30000, LOAD) + ran(0, A, 0x30000) + linking(A, 1, A), tmp_path)
    links = trace.links
    assert list(zip(links.position, links.source, links.slot, links.target, links.thread, strict=True)) == [
        (1, 0, 0, 1, 3),
        (2, 0, 0, 0, 0),
        (4, 2, 1, 2, 0),
    ]
    assert (info(trace).links.made, info(trace).links.ended) == (3, 2)
    old = log.replace(" index 0 ->", " [00010000] index 0 ->").replace(f"-> 0x{B:x}", f"-> 0x{B:x} [00020000]")
    again = imported(old, tmp_path).links
    assert again is not None and again.target.tolist() == [1, 0]


PPC = translated(A, 0x1000_0000, "e9230000  ld       r9, 0(r3)", "4e800020  blr")
S390 = translated(A, 0x100_0000, "e310 1000 0004  lg       %r1, 0(%r1)", "07fe            br       %r14")
X86 = translated(A, 0x40_0000, "48 8b 45 08              movq     8(%rbp), %rax", "c3                       retq")


@pytest.mark.parametrize(
    ("code", "pc", "line", "guest", "kind", "faults"),
    [
        (PPC, 0x1000_0000, "Raise exception at 0000000010000000 => DSI (2) error=00", "ppc64", "dsi", 1),
        (PPC, 0x1000_0000, "Raise exception at 0000000010000000 => 00000002 (00)", "ppc64", "dsi", 1),
        (PPC, 0x1000_0000, "Raise exception at 0000000010000000 => ISI (3) error=40000000", "ppc64", "isi", 0),
        (S390, 0x100_0000, "do_program_interrupt: code=0x11 ilen=6 psw: 705c001 1000000", "s390x", "program-11", 1),
        (S390, 0x100_0000, "do_program_interrupt: code=0x4 ilen=6 psw: 705c001 1000006", "s390x", "program-04", 1),
        (S390, 0x100_0000, "do_program_interrupt: code=0x11 ilen=2 psw: 705c001 2000000", "s390x", "program-11", 0),
        (
            X86,
            0x40_0000,
            "     0: v=0e e=0000 i=0 cpl=3 IP=0033:0000000000400000 pc=0000000000400000 SP=002b:00007ffe00000000 "
            "CR2=0000000000000008",
            "x86-64",
            "page-fault",
            1,
        ),
        (
            X86,
            0x40_0000,
            "123456: v=0e e=0014 i=0 cpl=3 IP=0033:0000000000401000 pc=0000000000401000 SP=002b:00007ffe00000000 "
            "CR2=0000000000401000",
            "x86-64",
            "page-fault",
            0,
        ),
        (
            X86,
            0x40_0000,
            "     9: v=0d e=0000 i=0 cpl=3 IP=0033:0000000000400000 pc=0000000000400000 SP=002b:00007ffe00000000 "
            "env->regs[R_EAX]=0000000000000000",
            "x86-64",
            "vector-0d",
            0,
        ),
    ],
)
def test_faults_of_guests(code: str, pc: int, line: str, guest: Guest, kind: str, faults: int, tmp_path: Path) -> None:
    trace = imported(code + ran(0, A, pc) + line + "\n", tmp_path)
    assert (trace.guest, trace.mode, dict(trace.exceptions)) == (guest, "system", {kind: 1})
    assert trace.retranslations.rewritten_bytes.tolist() == [8] * faults
    assert trace.retranslations.accesses.tolist() == [1] * faults


def test_one_block_for_several_mappings_runs_at_the_same_offset_of_any_page(tmp_path: Path) -> None:
    code = translated(A, 0xC010_0F20, LOAD, offsets=True)
    trace = imported(code + ran(0, A, 0xC010_0F20) + ran(0, A, 0xB6F0_0F20), tmp_path)
    assert words(trace) == [0, 0]
    with pytest.raises(InputError, match="expected the guest address of the TB"):
        imported(code + ran(0, A, 0xC010_0F24), tmp_path)


def test_an_instruction_that_s390x_executes_elsewhere_has_no_address(tmp_path: Path) -> None:
    log = translated(A, 0x100_0000, "e310 1000 0004  lg       %r1, 0(%r1)", "c600 0000 0008  exrl     %r0, 0x1000016")
    block = translated(B, 0x100_0006, "d200 1000 2000  mvc      0(1, %r1), 0(%r2)")
    execute = block[: block.index("IN:")] + "IN: EXECUTE d200100020000000\n" + block[block.index("\nOUT:") :]
    trace = imported(log + ran(0, A, 0x100_0000) + execute + ran(0, B, 0x100_0006), tmp_path)
    assert trace.blocks.guest_pc.tolist() == [0x100_0000, 0x100_0006]
    assert trace.blocks.guest_bytes.tolist() == [12, 6]


ACCESSES = {
    aarch64_accesses: "ldr x0, [x1]=1; ldp x29, x30, [sp], #0x10=2; stp q0, q1, [x0]=4; ldrb w0, [x1]=1; "
    "stlxr w0, x1, [x2]=2; "
    "stxp w7, x2, x3, [x4]=0; stxp w7, w2, w3, [x4]=2; ldaxr w0, [x1]=1; ldaddal w0, w1, [x2]=2; "
    "ld1 {v0.16b}, [x0]=2; st1 {v0.8b, v1.8b}, [x0]=2; "
    "ld4 {v0.b, v1.b, v2.b, v3.b}[2], [x0]=4; "
    ".byte 0x84, 0x08, 0x40, 0xf8=1; .byte 0x84, 0x08, 0x40, 0xd8=0; prfm pldl1keep, [x0]=0; "
    "adrp x0, #0x1000=0; ret =0; ldr q0, [x1]=2",
    riscv_accesses: "ld a0,8(sp)=1; sw a0,0(a1)=1; amoadd.w.aq.rl a3,a3,(a4)=2; lr.d.aq a0,(a1)=1; "
    "sc.w.rl a0,a1,(a2)=2; "
    "addi a0,a0,1=0; fld ft0,0(a0)=1; fence.i =0; lui a0,65536=0; sext.w a0,a0=0",
    x86_accesses: "movq 8(%rbp), %rax=1; leaq 8(%rbp), %rax=0; addl $1, (%rax)=2; addl (%rax), %ebx=1; pushq %rbp=1; "
    "callq 0x400=1; callq *8(%rax)=2; movups %xmm0, (%rax)=2; movq %fs:0x28, %rax=1; "
    "rep stosq %rax, %es:(%rdi)=1; retq =1; nopl (%rax)=0; cmpq $0, 8(%rsp)=1; lock cmpxchgl %edx, (%rdi)=2; "
    "xchgl %eax, (%rdi)=2; movsd (%rax), %xmm0=1; movl %eax, %ebx=0",
    ppc_accesses: "ld r9, 0(r3)=1; stdu r1, -0x30(r1)=1; lwarx r0, 0, r3=1; stwcx. r0, 0, r3=2; lxvd2x vs0, 0, r3=2; "
    "li r3, 0=0; lbzx r3, r3, r4=1; mflr r0=0; lis r2, 0x1027=0; stw r0, 4(r1)=1; lhbrx r3, 0, r4=1",
    s390x_accesses: "lg %r1, 0(%r1)=1; stmg %r6, %r15, 0x30(%r15)=10; la %r1, 8(%r2)=0; lay %r15, -0xa0(%r15)=0; "
    "lgr %r1, %r2=0; larl %r1, 0x1000=0; lgrl %r1, 0x1000=1; mvc 0(8, %r1), 0(%r2)=0; cs %r1, %r2, 0(%r3)=2; "
    "sllg %r1, %r2, 3(%r4)=0; agsi 0(%r1), 1=2; ltg %r1, 0(%r1)=1; br %r14=0; lmg %r14, %r1, 0(%r15)=4",
}


@pytest.mark.parametrize("counted", ACCESSES, ids=lambda function: function.__name__)
def test_accesses_of_instructions(counted: object) -> None:
    for case in ACCESSES[counted].split("; "):
        text, _, expected = case.rpartition("=")
        mnemonic, _, operands = text.encode().partition(b" ")
        assert counted(mnemonic, operands.strip()) == int(expected), text
