"""What the measurements need of an instruction set: encodings, and inline assembly for LLVM."""

from __future__ import annotations

import platform
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.support.errors import InputError

Distances = npt.NDArray[np.int64]
Encoded = npt.NDArray[np.uint8]


# What a program does that has stored code: @flush_lines(first byte, end).
_X86_FLUSH = """
define void @flush_lines(i64 %first, i64 %end) {
  ret void
}
"""
# As AArch64 wants it (Arm ARM B2.4.4): clean the data lines unless CTR_EL0.IDC, invalidate the instruction lines unless
# CTR_EL0.DIC.
_A64_FLUSH = """
define void @flush_lines(i64 %first, i64 %end) {
entry:
  %ctr = call i64 asm sideeffect "mrs $0, ctr_el0", "=r"()
  %d = lshr i64 %ctr, 16
  %dlog = and i64 %d, 15
  %dline = shl i64 4, %dlog
  %ilog = and i64 %ctr, 15
  %iline = shl i64 4, %ilog
  %ib = and i64 %ctr, 268435456
  %idc = icmp ne i64 %ib, 0
  br i1 %idc, label %cleaned, label %clean
clean:
  %c = phi i64 [ %first, %entry ], [ %cn, %clean ]
  call void asm sideeffect "dc cvau, $0", "r,~{memory}"(i64 %c)
  %cn = add i64 %c, %dline
  %cm = icmp ult i64 %cn, %end
  br i1 %cm, label %clean, label %cleaned
cleaned:
  call void asm sideeffect "dsb ish", "~{memory}"()
  %db = and i64 %ctr, 536870912
  %dic = icmp ne i64 %db, 0
  br i1 %dic, label %done, label %invalidate
invalidate:
  %v = phi i64 [ %first, %cleaned ], [ %vn, %invalidate ]
  call void asm sideeffect "ic ivau, $0", "r,~{memory}"(i64 %v)
  %vn = add i64 %v, %iline
  %vm = icmp ult i64 %vn, %end
  br i1 %vm, label %invalidate, label %invalidated
invalidated:
  call void asm sideeffect "dsb ish", "~{memory}"()
  br label %done
done:
  call void asm sideeffect "isb", "~{memory}"()
  ret void
}
"""

# @enter(record, entry, number) executes foreign code with the number as its result, and comes back when that returns or
# a signal handler sets the stack pointer and the program counter to the first two words of the record; the third says
# that it is away.  Other registers are zero there, so that what nobody meant as code does little harm; those that calls
# preserve, where translators keep the address of their state, have that of memory that nobody needs.  On x86-64 the
# flags are the fifth word; a site that returns has the number as its result, and what returns from elsewhere sets the
# last byte of the stack pointer to f8, which undoes what the site has pushed.
_X86_ENTER = """
define i64 @enter(ptr %record, i64 %entry, i64 %number) noinline noredzone {
  %r = call i64 asm sideeffect "
    pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15; pushq %rdi
    movq %rsp, %r10; subq $$768, %rsp; andq $$-256, %rsp; movq %r10, (%rsp)
    leaq 1f(%rip), %rcx; movq %rcx, 8(%rdi); movq %rsp, (%rdi); movq $$1, 16(%rdi)
    movq %rsi, %r11; movq %rdx, %rax; movq %rdx, 16(%rsp); leaq 256(%rsp), %rbp; movq %rbp, %rbx; pushq %rcx
    movq %rbp, %r12; movq %rbp, %r13; movq %rbp, %r14; movq %rbp, %r15; pushq 32(%rdi)
    xorl %ecx, %ecx; xorl %edx, %edx; xorl %esi, %esi; xorl %edi, %edi
    xorl %r8d, %r8d; xorl %r9d, %r9d; xorl %r10d, %r10d; popfq; call *%r11
    movq 24(%rsp), %rax; addq $$8, %rsp
    1: cld; movq (%rsp), %rsp; popq %rdi; movq $$0, 16(%rdi)
    popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp",
    "={rax},{rdi},{rsi},{rdx},~{rdi},~{rsi},~{rdx},~{rcx},~{r8},~{r9},~{r10},~{r11},~{flags},~{memory}"
    (ptr %record, i64 %entry, i64 %number)
  ret i64 %r
}
"""
_A64_ENTER = """
define i64 @enter(ptr %record, i64 %entry, i64 %number) noinline {
  %r = call i64 asm sideeffect "
    stp x29, x30, [sp, #-112]!; stp x19, x20, [sp, #16]; stp x21, x22, [sp, #32]; stp x23, x24, [sp, #48]
    stp x25, x26, [sp, #64]; stp x27, x28, [sp, #80]; str x0, [sp, #96]; sub sp, sp, #256
    add x19, sp, #128; mov x20, x19; mov x21, x19; mov x22, x19; mov x23, x19; mov x24, x19; mov x25, x19
    mov x26, x19; mov x27, x19; mov x28, x19
    mov x9, sp; str x9, [x0]; adr x9, 1f; str x9, [x0, #8]; mov x10, #1; str x10, [x0, #16]
    mov x10, x1; mov x0, x2; mov x16, xzr; mov x30, xzr; br x10
    1: add sp, sp, #256; ldr x1, [sp, #96]; str xzr, [x1, #16]
    ldp x19, x20, [sp, #16]; ldp x21, x22, [sp, #32]; ldp x23, x24, [sp, #48]; ldp x25, x26, [sp, #64]
    ldp x27, x28, [sp, #80]; ldp x29, x30, [sp], #112",
    "={x0},{x0},{x1},{x2},~{x1},~{x2},~{x3},~{x4},~{x5},~{x6},~{x7},~{x8},~{x9},~{x10},~{x11},~{x12},~{x13},~{x14},~{x15},~{x16},~{x17},~{nzcv},~{memory}"
    (ptr %record, i64 %entry, i64 %number)
  ret i64 %r
}
"""


@dataclass(frozen=True, slots=True)
class Context:
    """Where ``ucontext_t`` of 64-bit Linux has the register of a result, the stack pointer and the program counter."""

    result: int
    stack: int
    counter: int


@dataclass(frozen=True, slots=True)
class InstructionSet:
    """An instruction set that machine code can be made for.

    ``name``: as in host profiles.  ``number(value)``: a function that returns ``value`` (``number_of``) as bytes; the
    ``patched`` bytes from ``operand`` on are what differs from another ``number``.  ``jumps(distances)``: branches over
    so many bytes, each counted from its own address: rows of bytes.  ``back``: the return instruction.  ``chain``:
    inline assembly of an instruction of one cycle that depends on the one before.  ``sync``: inline assembly that
    synchronises the context of its core, and ``sync_changes`` the registers that it changes.  ``barrier``, ``clean``,
    ``invalidate``: inline assembly, the last two of the line of an address, or empty where the hardware does it.
    ``flush``: the function ``@flush_lines`` of LLVM's language, which makes stored code fetched.
    ``repeats``: what ``number`` is made of, so that each half of it tells it from others; ``shift``, ``mask``: where it
    lies in the operand.  ``membarrier``, ``tgkill``: numbers of Linux's system calls.  ``profile``: the shipped profile
    that is nearest to a machine that nothing more is known of.  ``isa``: its name in site files.  ``enter``: the
    function ``@enter``, and ``lands(number, address, relies)`` the bytes of what may be entered at an address to return
    a number, or is undefined if one of the registers does not hold that address, and where in them its operand is.
    ``sets(register, values)``: what gives a register a value, a row of bytes for each.  ``reach``: by multiples of it
    code can be moved, with its targets, and means the same.  ``trap``: how far a breakpoint has moved the program
    counter; ``context``: of its signal handlers.
    ``resets``: inline assembly that undoes what foreign code may have done to the state of a thread.
    """

    name: str
    number: Callable[[int], bytes]
    operand: int
    patched: int
    jumps: Callable[[Distances], Encoded]
    back: bytes
    chain: str
    sync: str
    sync_changes: str
    barrier: str
    clean: str
    invalidate: str
    flush: str
    pause: str
    repeats: int
    shift: int
    mask: int
    membarrier: int
    tgkill: int
    profile: str
    isa: str
    enter: str
    lands: Callable[[int, int, Sequence[str]], tuple[bytes, int]]
    sets: Callable[[str, Distances], Encoded]
    reach: int
    trap: int
    context: Context
    resets: str

    def targets(self, processor: str) -> tuple[str, ...]:
        """The shipped profile and the architecture that are nearest to a ``processor``, as it calls itself."""
        vendor = "x86-amd" if "AMD" in processor else "x86-intel"
        return self.profile, vendor if self.name == "x86-64" else "armv8"

    def number_of(self, value: int) -> int:
        """The number that a function returns for a value, 0 to 32767."""
        return value * self.repeats

    def operand_of(self, number: int) -> int:
        """The operand of a function that returns a number, as the integer that a store puts there."""
        code = self.number(number)[self.operand : self.operand + self.patched]
        return int.from_bytes(code, "little")


def _x86_number(value: int) -> bytes:
    return b"\xb8" + struct.pack("<I", value) + b"\xc3"  # mov eax, value; ret


def _x86_jumps(distances: Distances) -> Encoded:
    operands = (distances - 5).astype("<i4").view(np.uint8).reshape(-1, 4)
    return np.insert(operands, 0, 0xE9, axis=1)  # jmp rel32


_X86_REGISTERS = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{number}" for number in range(8, 16)))


def _register(name: str, known: Sequence[str], kept: str) -> int:
    if name not in known or name == kept:
        raise InputError(repr(name), place="registers", expected=f"one of {', '.join(n for n in known if n != kept)}")
    return known.index(name)


def _x86_sets(register: str, values: Distances) -> Encoded:
    number = _register(register, _X86_REGISTERS, "rsp")
    operands = values.astype("<i8").view(np.uint8).reshape(-1, 8)
    return np.insert(operands, [0, 0], [0x48 | number >> 3, 0xB8 | number & 7], axis=1)  # mov register, imm64


def _x86_lands(number: int, address: int, relies: Sequence[str]) -> tuple[bytes, int]:
    checks = b""
    for name in relies:
        register = _register(name, _X86_REGISTERS, "rsp")
        scratch = 2 if register == 1 else 1
        checks += bytes([0x48, 0x8D, 0x05 | scratch << 3]) + struct.pack("<i", -len(checks) - 7)  # lea scratch, [entry]
        checks += bytes([0x48 | register >> 3, 0x39, 0xC0 | scratch << 3 | register & 7])  # cmp register, scratch
        checks += b"\x74\x02\x0f\x0b"  # je over ud2
    before = -(address + len(checks) + 1) % 4  # no-operations, so that the operand is aligned
    start = checks + b"\x90" * before + b"\xb8" + struct.pack("<I", number)  # mov eax, number
    return start + bytes.fromhex("4080ccf8c3"), len(start) - 4  # or spl, 0xf8; ret


_A64_REGISTERS = tuple(f"x{number}" for number in range(31))


def _a64_sets(register: str, values: Distances) -> Encoded:
    number = _register(register, _A64_REGISTERS, "x9")
    parts = (values[:, None] >> np.arange(0, 64, 16)) & 0xFFFF
    words = np.array([0xD2800000, 0xF2A00000, 0xF2C00000, 0xF2E00000]) | parts << 5 | number  # movz, movk, movk, movk
    encoded: Encoded = words.astype("<u4").view(np.uint8).reshape(-1, 16)
    return encoded


def _a64_lands(number: int, address: int, relies: Sequence[str]) -> tuple[bytes, int]:
    words: list[int] = []
    for name in relies:
        register, back = _register(name, _A64_REGISTERS, "x9"), -4 * len(words)
        scratch = 11 if register == 10 else 10
        words.append(0x10000000 | (back >> 2 & 0x7FFFF) << 5 | scratch)  # adr scratch, entry
        words += [0xEB00001F | scratch << 16 | register << 5, 0x54000040, 0]  # cmp; b.eq over udf
    words += [0x52800000 | number << 5, 0xD61F0120]  # movz w0, #number; br x9
    return struct.pack(f"<{len(words)}I", *words), 4 * len(words) - 8


def _a64_number(value: int) -> bytes:
    return struct.pack("<II", 0x52800000 | value << 5, 0xD65F03C0)  # movz w0, #value; ret


def _a64_jumps(distances: Distances) -> Encoded:
    words = 0x14000000 | (distances >> 2) & 0x3FFFFFF  # b
    return words.astype("<u4").view(np.uint8).reshape(-1, 4)


INSTRUCTION_SETS = {
    "x86_64": InstructionSet(
        "x86-64",
        number=_x86_number,
        operand=1,
        patched=4,
        jumps=_x86_jumps,
        back=b"\xc3",
        chain="xorq $2, $0",
        sync="xorl %eax, %eax; xorl %ecx, %ecx; cpuid",
        sync_changes="~{eax},~{ebx},~{ecx},~{edx}",
        barrier="mfence",
        clean="",
        invalidate="",
        flush=_X86_FLUSH,
        pause="pause",
        repeats=0x10001,
        shift=0,
        mask=0xFFFFFFFF,
        membarrier=324,
        tgkill=234,
        profile="x86-skylake",
        isa="x86",
        enter=_X86_ENTER,
        lands=_x86_lands,
        sets=_x86_sets,
        reach=1,
        trap=1,
        context=Context(result=144, stack=160, counter=168),
        resets="emms",
    ),
    "aarch64": InstructionSet(
        "aarch64",
        number=_a64_number,
        operand=0,
        patched=4,
        jumps=_a64_jumps,
        back=struct.pack("<I", 0xD65F03C0),
        chain="eor $0, $0, $2",
        sync="isb",
        sync_changes="~{memory}",
        barrier="dsb ish",
        clean="dc cvau, $0",
        invalidate="ic ivau, $0",
        flush=_A64_FLUSH,
        pause="yield",
        repeats=1,
        shift=5,
        mask=0xFFFF,
        membarrier=283,
        tgkill=131,
        profile="cortex-a72",
        isa="aarch64",
        enter=_A64_ENTER,
        lands=_a64_lands,
        sets=_a64_sets,
        reach=4096,
        trap=0,
        context=Context(result=184, stack=432, counter=440),
        resets="",
    ),
}
_ALIASES = {"amd64": "x86_64", "AMD64": "x86_64", "arm64": "aarch64"}


def this_instruction_set() -> InstructionSet:
    """The instruction set of this machine; raises ``InputError`` where no machine code can be made for it."""
    machine = platform.machine()
    found = INSTRUCTION_SETS.get(_ALIASES.get(machine, machine))
    if found is None:
        known = " or ".join(one.name for one in INSTRUCTION_SETS.values())
        raise InputError(f"this machine is {machine or 'of an unknown kind'}", expected=known)
    return found
