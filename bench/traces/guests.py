"""The guests whose logs are read: how ``-d in_asm`` prints their instructions, and what each instruction accesses.

The number of accesses is that of the memory operations that QEMU's front end emits inline for the instruction
(``target/*/translate.c`` of QEMU 7.2): one per register that ``ldm``, ``ldp``, ``lmg`` and similar instructions move,
two for a store-exclusive (the compare and the store) and for a read and a write of one place, two for 16 bytes.
Accesses of a helper (MIPS ``swl``, s390x ``mvc``) are not generated code and do not count.  For ARM,
AArch64, RISC-V and MIPS the counts are those of the slow paths that QEMU emitted; for the others they are estimates.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from bench.traces.trace import AccessTag, Guest


@dataclass(frozen=True, slots=True)
class GuestKind:
    """What the reader of logs knows of a guest.

    ``line``      an instruction after its address: the opcode (if QEMU prints one), the mnemonic, the operands
    ``own``       text of instructions that no other guest with such lines has
    ``accesses``  the memory operations of a mnemonic with operands, and how well they are known (``tag``)
    ``signals``   numbers of the signals that a load or store of generated code raises (SIGBUS, SIGSEGV)
    ``bytes``     bytes of an instruction, where the line has no opcode
    """

    line: re.Pattern[bytes]
    own: re.Pattern[bytes]
    accesses: Callable[[bytes, bytes], int]
    tag: AccessTag = "estimate"
    signals: frozenset[int] = frozenset((7, 11))
    bytes: int = 0


def _line(opcode: bytes, gap: bytes = b"[ \t]*") -> re.Pattern[bytes]:
    return re.compile(
        rb"(?P<opcode>" + opcode + rb")(?P<mnemonic>[.a-z(][.\w()-]*)(?P<gap>" + gap + rb")(?P<operands>[^\n]*)"
    )


def _counted(one: re.Pattern[bytes], two: re.Pattern[bytes]) -> Callable[[bytes, bytes], int]:
    """A count by the mnemonic alone."""
    return lambda mnemonic, _operands: 2 if two.fullmatch(mnemonic) else int(one.fullmatch(mnemonic) is not None)


# --- 32-bit ARM, in capstone's syntax (``ldm``, ``{r0, r4}``) -------------------------------------------------------

_CONDITION = rb"(?:eq|ne|hs|cs|lo|cc|mi|pl|vs|vc|hi|ls|ge|lt|gt|le|al)?(?:\.[nw])?"


def _arm(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern + _CONDITION)


_ARM_LIST = _arm(rb"(?:push|pop|v(?:push|pop)|v?(?:ldm|stm)(?:ia|ib|da|db|fd|ea|fa|ed)?|f(?:ld|st)m(?:ia|db)x)")
_ARM_ONE = _arm(
    rb"(?:ldr(?:s?[bh])?t?|str[bh]?t?|ldrex[bhd]?|lda(?:ex)?[bhd]?|stl[bh]?|vldr|vstr|tb[bh])"
    rb"(?:\.(?:8|16|32|64))?"
)
_ARM_TWO = _arm(rb"(?:ldrd|strd|strex[bhd]?|stlex[bhd]?|swpb?|rfe(?:ia|ib|da|db)?|srs(?:ia|ib|da|db)?)")
_ARM_ELEMENTS = re.compile(rb"v(?:ld|st)([1-4])[a-z]{0,2}\.(8|16|32|64)")
_ARM_REGISTER = re.compile(
    rb"(?:(?P<kind>[rsdq])(?P<first>\d+)|[a-z]{2})(?:\[\d*\])?(?:\s*-\s*(?:[rsdq](?P<last>\d+)|[a-z]{2}))?"
)


@functools.lru_cache(maxsize=1 << 12)
def _arm_fixed(mnemonic: bytes) -> int | re.Match[bytes] | None:
    """The accesses of an instruction, unless operands decide: None if a list does; the match of one of a vector."""
    if _ARM_LIST.fullmatch(mnemonic):
        return None
    if _ARM_ONE.fullmatch(mnemonic):
        return 1
    if _ARM_TWO.fullmatch(mnemonic):
        return 2
    return _ARM_ELEMENTS.fullmatch(mnemonic) or 0


def arm_accesses(mnemonic: bytes, operands: bytes) -> int:
    """The number of accesses of an ARM or Thumb instruction."""
    elements = _arm_fixed(mnemonic)
    if isinstance(elements, int):
        return elements
    if elements is None:
        return sum(_registers(operands))
    structure, bits = int(elements[1]), int(elements[2])
    if b"[" in operands[: operands.find(b"}")]:
        # One vector lane, or one element into all lanes: one access per member of the structure.
        return structure
    # Registers without interleaving move as whole 64-bit values.
    return sum(_registers(operands)) * (1 if structure == 1 else 64 // bits)


def _registers(operands: bytes) -> list[int]:
    """The number of registers in each item of the register list ``{...}`` (``r4-r7``: 4)."""
    begin, end = operands.find(b"{"), operands.find(b"}")
    counts = []
    for item in operands[begin + 1 : end].split(b","):
        match = _ARM_REGISTER.fullmatch(item.strip())
        if match is None:
            counts.append(1)
        elif match["first"] and match["last"]:
            counts.append(int(match["last"]) - int(match["first"]) + 1)
        else:
            counts.append(1)
        if match is not None and match["kind"] == b"q":
            counts[-1] *= 2
    return counts


# --- AArch64, in capstone's syntax ----------------------------------------------------------------------------------

_A64_ONE = re.compile(rb"ld(?:r|ur|tr|ar|apr|apur|lar|xr|axr)(?:s?[bhw])?|st(?:r|ur|tr|lr|llr|lur)[bh]?|ldraa|ldrab")
_A64_PAIR = re.compile(rb"(?:ldn?p|stn?p|ldpsw|ldxp|ldaxp)")
_A64_TWO = re.compile(
    rb"stl?xr[bh]?|(?:swp|cas|ld(?:add|clr|eor|set|[su]max|[su]min)|st(?:add|clr|eor|set))[alp]*[bh]?"
)
_A64_PAIR_TWO = re.compile(rb"stl?xp|caspa?l?")
_A64_VECTORS = re.compile(rb"(?:ld|st)([1-4])(r?)")
_A64_ARRANGED = re.compile(rb"v\d+\.(\d+)([bhsd])")


@functools.lru_cache(maxsize=1 << 14)
def aarch64_accesses(mnemonic: bytes, operands: bytes) -> int:
    """The number of accesses of an AArch64 instruction; a 128-bit register moves as two."""
    if mnemonic == b".byte":
        # capstone does not know the unprivileged loads and stores (ldtr, sttr).
        opcode = int.from_bytes(bytes(int(byte, 16) for byte in operands.split(b",")), "little")
        return int(opcode & 0x3B20_0C00 == 0x3800_0800)
    wide = 2 if operands.startswith(b"q") else 1
    if _A64_ONE.fullmatch(mnemonic):
        return wide
    if _A64_PAIR.fullmatch(mnemonic):
        return 2 * wide
    if _A64_TWO.fullmatch(mnemonic):
        return 2
    if _A64_PAIR_TWO.fullmatch(mnemonic):
        # A pair of 64-bit registers is a helper's.
        return 2 if operands.startswith(b"w") and b", w" in operands else 0
    if vectors := _A64_VECTORS.fullmatch(mnemonic):
        listed = operands[: operands.find(b"}")]
        if vectors[2] or listed.endswith(b"]") or b"}[" in operands:
            return int(vectors[1])
        lanes = [(int(count), 8 << b"bhsd".index(size)) for count, size in _A64_ARRANGED.findall(listed)]
        # ld1 and st1 move whole 64-bit halves, the others each element.
        return sum(count * bits // 64 if vectors[1] == b"1" else count for count, bits in lanes)
    return 0


# --- RISC-V, in the syntax of QEMU's disassembler -------------------------------------------------------------------

_RV_ONE = re.compile(rb"(?:l[bhwd]u?|s[bhwd]|f[ls][hwd]|lr\.[wd](?:\.aq)?(?:\.rl)?)")
_RV_TWO = re.compile(rb"(?:sc|amo\w+)\.[wd](?:\.aq)?(?:\.rl)?")


riscv_accesses = _counted(_RV_ONE, _RV_TWO)
"""The number of accesses of a RISC-V instruction (compressed ones print as the full ones)."""


# --- x86-64, in AT&T syntax -----------------------------------------------------------------------------------------

_X86_MEMORY = re.compile(
    rb"(?<![\w%])\*?(?:%[cdefgs]s:)?(?:-?(?:0x)?[0-9a-f]+)?(?:\(%|\(,%)|%[fgs]s:-?(?:0x)?[0-9a-f]+"
)
_X86_NONE = re.compile(rb"lea[lwq]?|nop[lwq]?|prefetch\w*|invlpg|clflush\w*|bnd.*|fx\w+|xsave\w*|xrstor\w*|endbr64")
_X86_STACK = re.compile(rb"(?:push|pop|call|ret|leave)[wlq]?")
_X86_READ_WRITE = re.compile(
    rb"(?:add|adc|sub|sbb|and|or|xor|inc|dec|neg|not|sh[lr]d?|sa[lr]|ro[lr]|rc[lr]|xchg|xadd|cmpxchg|bt[crs])[bwlq]?"
)
_X86_STRINGS: Final = {b"movs": 2, b"cmps": 2, b"stos": 1, b"lods": 1, b"scas": 1, b"ins": 1, b"outs": 1}
_X86_STRING = re.compile(rb"\(%[re][sd]i\)")
_X86_WIDE = re.compile(rb"v?mov(?:[au]p[sd]|dq[au]|ntdq|ntp[sd])|v?(?:p|and|or|xor)\w+|lddqu")


@functools.lru_cache(maxsize=1 << 14)
def x86_accesses(mnemonic: bytes, operands: bytes) -> int:
    """The number of accesses of an x86-64 instruction; a 128-bit operand moves as two."""
    if mnemonic in (b"rep", b"repe", b"repne", b"repz", b"repnz", b"lock", b"bnd", b"notrack"):
        mnemonic, _, operands = operands.partition(b" ")
    # movsd, movsb also name SSE and sign-extending moves, with operands of their own.
    if (string := _X86_STRINGS.get(mnemonic[:-1])) and (_X86_STRING.search(operands) or not operands):
        return string
    if _X86_NONE.fullmatch(mnemonic):
        return 0
    memory = _X86_MEMORY.search(operands)
    stack = int(_X86_STACK.fullmatch(mnemonic) is not None)
    if not memory:
        return stack
    if _X86_READ_WRITE.fullmatch(mnemonic) and (
        operands.endswith(b")") or b"," not in operands or mnemonic[:1] == b"x"
    ):
        return 2
    wide = 2 if b"%xmm" in operands and _X86_WIDE.fullmatch(mnemonic) else 4 if b"%ymm" in operands else 1
    return wide + stack


# --- 64-bit POWER, in capstone's syntax -----------------------------------------------------------------------------

_PPC_ONE = re.compile(
    rb"l[bhwd](?:z|a|br|zu|au|zx|ax|zux|aux|brx|arx|u|x|ux)?|lf[sd](?:u|x|ux)?|lfiw[az]x|ld(?:u|x|ux|brx|arx)?"
    rb"|st[bhwd](?:u|x|ux|brx)?|stf[sd](?:u|x|ux)?|stfiwx|lxs\w+|stxs\w+|lve[bhw]x|stve[bhw]x"
)
_PPC_TWO = re.compile(rb"st[bhwd]cx\.?|lv(?:x|xl)|stv(?:x|xl)|lxv\w*|stxv\w*|lq|stq|lqarx")

ppc_accesses = _counted(_PPC_ONE, _PPC_TWO)
"""The number of accesses of a POWER instruction; a vector moves as two, ``lmw`` is a helper."""


# --- s390x, in capstone's syntax ------------------------------------------------------------------------------------

_S390_MULTIPLE = re.compile(rb"(?:lm[gyh]?|stm[gyh]?|lam|stam|lamy|stamy)")
_S390_REGISTERS = re.compile(rb"%[ra](\d+), %[ra](\d+),")
_S390_NONE = re.compile(
    rb"la|lay|laey?|larl|s[lr][la]g?k?|s[lr]d[la]|rllg?|b\w*|j\w*|ex|exrl|pfd|pfdrl|svc|mvc\w*|clc\w*|[xon]c|tr\w*|ipm|ed\w*|pack|unpk"
    rb"|mvst|clst|srst|s[ct]ck\w*|stfle?|lpsw\w*|ec\w*|cgi\w*|c[gl]*[ir]j\w*|cl?g?rb\w*|vsl|vlvg\w*|vlgv\w*|ver\w*|verllb?"
)
_S390_TWO = re.compile(rb"a[gl]*si|[noxt]iy?|ts|cs[gy]?|la[aonx]\w*|vl|vst|cds|lpq|stpq")
_S390_RELATIVE = re.compile(rb"(?:l|lg|lgf|llgf|lh|lgh|llgh|st|stg|sth|c|cg|cl|clg|ch|cgh|clh|clgh|cgf|clgf|clhh)rl")


@functools.lru_cache(maxsize=1 << 14)
def s390x_accesses(mnemonic: bytes, operands: bytes) -> int:
    """The number of accesses of an s390x instruction: one for an operand in memory."""
    if _S390_RELATIVE.fullmatch(mnemonic):
        return 1
    if b"(" not in operands or (_S390_NONE.fullmatch(mnemonic) and not _S390_TWO.fullmatch(mnemonic)):
        return 0
    if _S390_MULTIPLE.fullmatch(mnemonic) and (match := _S390_REGISTERS.match(operands)):
        return (int(match[2]) - int(match[1])) % 16 + 1
    if mnemonic in (b"tm", b"tmy"):
        return 1
    return 2 if _S390_TWO.fullmatch(mnemonic) else 1


# --- MIPS, in the syntax of binutils (``lw``, ``v0,0(a0)``) ---------------------------------------------------------

_MIPS_ONE = re.compile(
    rb"(?:l[bh]u?|lwu?|ld|l[wd][lr]|ll|lld|[ls][wd]c[123]|[ls][wd]xc1|[ls]uxc1|s[bhwd]|l[bh]e|l[bh]ue|lwe|lle|s[bhw]e)"
)
_MIPS_TWO = re.compile(rb"(?:scd?|sce)")


mips_accesses = _counted(_MIPS_ONE, _MIPS_TWO)
"""The number of accesses of a MIPS instruction."""


# --- the guests -----------------------------------------------------------------------------------------------------

_WORD: Final = rb"[0-9a-f]{8} +"
_MIPS_LINE = _line(b"", rb"\t|(?= *$)")
_MIPS_OWN = re.compile(rb".*")

GUESTS: Final[Mapping[Guest, GuestKind]] = MappingProxyType(
    {
        "arm": GuestKind(
            _line(rb"(?:[0-9a-f]{8}|[0-9a-f]{4}(?: [0-9a-f]{4})?) +"),
            re.compile(
                rb"[a-z][\w.]* .*(?:\b(?:r\d+|s[bl]|ip|fp)\b.*(?:[#\[]|\b(?:sp|lr|pc|s[bl]|ip|fp)\b)"
                rb"|\{(?:r\d|s[bl]|lr|fp|ip|[dqs]\d)).*|(?:bx|blx|pop|push)\b.*"
            ),
            arm_accesses,
            tag="measured",
        ),
        "aarch64": GuestKind(
            _line(_WORD),
            re.compile(rb"(?!bl?\b).*(?:\b[wx](?:\d+|zr)\b|\bv\d+\.|#0x.*\bq\d).*|(?:ret|nop)"),
            aarch64_accesses,
            tag="measured",
        ),
        "riscv64": GuestKind(
            _line(rb"(?:[0-9a-f]{8}|[0-9a-f]{4}) {6,}"),
            re.compile(rb"[a-z][\w.]* +(?:zero|ra|sp|gp|tp|f?[ast]\d+)(?:,\S+)* *(?:#.*)?"),
            riscv_accesses,
            tag="measured",
        ),
        "x86-64": GuestKind(
            _line(rb"[0-9a-f]{2}(?: [0-9a-f]{2})* {2,}"),
            re.compile(rb".*%[re].*|endbr64 *|[a-z]+q .*|nop.*|syscall.*"),
            x86_accesses,
        ),
        "ppc64": GuestKind(
            _line(_WORD),
            re.compile(
                rb".*[0-9a-f]\(r\d+\)|blr|bctrl?"
                rb"|(?:m[ft]\w+|lis?|std|stdu|addis|cmpl?[wd]i?|mr|x?ori|extsw|sldi|rldic\w*) .*"
            ),
            ppc_accesses,
        ),
        "s390x": GuestKind(
            _line(rb"[0-9a-f]{4}(?: [0-9a-f]{4}){0,2} +"), re.compile(rb".*%[rfacv]\d.*"), s390x_accesses
        ),
        "mips": GuestKind(_MIPS_LINE, _MIPS_OWN, mips_accesses, "measured", frozenset((10, 11)), 4),
        "mips64": GuestKind(_MIPS_LINE, _MIPS_OWN, mips_accesses, "estimate", frozenset((10, 11)), 4),
    }
)
"""The guests by name.  Whether a MIPS guest is one of 64 bits shows in its addresses only."""

_CONTINUED = re.compile(rb"[0-9a-f]{2}(?: [0-9a-f]{2})* *")


class GuestInstruction(NamedTuple):
    """An instruction as ``-d in_asm`` prints it after its address; ``text`` is empty in a second line of one (x86)."""

    size: int
    accesses: int
    text: bytes


def parse_instruction(code: bytes, guest: Guest) -> GuestInstruction | None:
    """The instruction ``code`` (the text after the address and ``:  ``); ``None`` if it is none of ``guest``."""
    kind = GUESTS[guest]
    match = kind.line.fullmatch(code)
    if match is None:
        if guest == "x86-64" and _CONTINUED.fullmatch(code):
            return GuestInstruction((len(code.rstrip()) + 1) // 3, 0, b"")
        return None
    opcode, mnemonic, operands = match.group("opcode", "mnemonic", "operands")
    size = kind.bytes or (len(opcode) - opcode.count(b" ")) // 2
    text = b" ".join(code[len(opcode) :].split())
    return GuestInstruction(size, kind.accesses(mnemonic, operands.strip()), text)


def guests_of(code: bytes) -> list[tuple[Guest, bool]]:
    """The guests that have lines like ``code``, with whether the text is one's own."""
    found: list[tuple[Guest, bool]] = []
    for guest, kind in GUESTS.items():
        match = kind.line.fullmatch(code)
        if match is not None:
            found.append((guest, kind.own.fullmatch(code[match.end("opcode") :].rstrip()) is not None))
    return found
