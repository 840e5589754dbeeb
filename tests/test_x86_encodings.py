"""Encodings of x86-64 as sites read them: against a disassembler and a processor that are not those of the reader."""

from __future__ import annotations

import itertools
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from written import site

from bench.sites.instructions import INSTRUCTION_SETS, RETURN_ADDRESS, Effect, Value
from bench.sites.paths import at_rest, paths
from bench.sites.site import NEAR, NEAR2, STUB
from bench.support.errors import InputError

READ = INSTRUCTION_SETS["x86"].effect
AT = 0x401000
OPCODES = (
    "e8 e9 eb 70 75 7f 0f 0f84 0f8f ff ff15 ff25 48 49 4c 41 66 f3 c7 48c7 b8 48b8 81 4881 83 85 3b 8b 8d 8948 c3 cc"
)


def _encodings() -> list[bytes]:
    """Random bytes, half of them behind an opcode that a site may have."""
    chosen = random.Random(20)
    starts = [bytes.fromhex(start) for start in OPCODES.split()]
    return [
        (chosen.choice(starts) if number % 2 else b"") + chosen.randbytes(16) for number in range(1200)
    ]  # more than the longest instruction, 15 bytes


def test_encodings_are_as_long_and_lead_where_objdump_says(tmp_path: Path) -> None:
    objdump = shutil.which("objdump")
    if objdump is None or "x86-64" not in subprocess.run([objdump, "-i"], capture_output=True, text=True).stdout:
        pytest.skip("objdump for x86-64 is not here: it is in Debian's package binutils")
    codes = _encodings()
    image = tmp_path / "code"
    image.write_bytes(b"".join(code[:16].ljust(16, b"\x90") + b"\x90" * 16 for code in codes))
    shown = subprocess.run(
        [objdump, "-D", "-w", "-b", "binary", "-m", "i386:x86-64", "-M", "intel", "--insn-width=16", image],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    lines = {
        int(found[1], 16): (len(found[2].split()), found[3].strip())
        for found in re.finditer(r"(?m)^ *([0-9a-f]+):\t((?:[0-9a-f]{2} )+) *\t?(.*)$", shown)
    }
    read = 0
    for number, code in enumerate(codes):
        at = 32 * number
        effect = READ(code[:16].ljust(16, b"\x90"), at)
        if effect.unread or at not in lines:
            continue
        length, text = lines[at]
        if re.fullmatch(r"(rex|data16|addr32|[c-gs]s|lock|repn?z|bnd|notrack|xacquire|xrelease)[.WRXB]*", text):
            continue  # a prefix that means nothing there, on a line of its own
        read += 1
        assert effect.length == length, (code.hex(), text, effect)
        if effect.to is not None:
            assert effect.to & (1 << 64) - 1 == int(re.search(r"0x([0-9a-f]+)$", text)[1], 16), (code.hex(), text)
    assert read > 300


INSTRUCTIONS = {
    "mov rax, 0x123456789abcdef": "48b8efcdab8967452301",
    "mov r11d, 0x80000001": "41bb01000080",
    "mov rcx, -2": "48c7c1feffffff",
    "mov rdx, rbx": "4889da",
    "mov edx, ebx": "89da",
    "mov r9, [rip + 0x10]": "4c8b0d10000000",
    "mov rdi, [rbp + 8]": "488b7d08",
    "lea rsi, [rip - 7]": "488d35f9ffffff",
    "lea rsi, [rbx + rcx + 4]": "488d740b04",
    "lea esi, [rbx + 4]": "8d7304",
    "add rbx, 0x7f": "4883c37f",
    "sub ebx, 1": "83eb01",
    "add ebx, -1": "83c3ff",
    "xor ecx, ecx": "31c9",
    "mov cl, 1": "b101",
    "xchg rax, rbx": "4893",
    "inc qword [rbp]": "48ff4500",
    "nop word [rax + rax]": "660f1f840000000000",
    "cmovne rax, rbx": "480f45c3",
    "sete al": "0f94c0",
    "imul rax, rbx, 3": "486bc303",
    "push rbx": "53",
    "pop rcx": "59",
    "cdqe": "4898",
}
BRANCHES = {
    "jmp": ("eb10", {}),
    "call": ("e810000000", {}),
    "jmp rax": ("ffe0", {}),
    "call r11": ("41ffd3", {}),
    "jmp [rip]": ("ff2510000000", {}),
    "call [rbp + 8]": ("ff5508", {}),
    "ret": ("c3", {}),
    "push rbx; ret": ("53c3", {}),
    "cmp rbx, same; je": ("4881fb785634127410", {"rbx": 0x12345678}),
    "cmp rbx, other; je": ("4881fb785634127410", {"rbx": 0x12345679}),
    "cmp ebx, same; je": ("81fb785634127410", {"rbx": 0xF12345678}),
    "cmp rbx, -1; jne": ("4883fbff7510", {"rbx": (1 << 64) - 1}),
    "cmp qword [rip], 1; jne": ("48833d0f00000001" + "7510", {}),
    "test rax, rax; jne": ("4885c07510", {"rax": 0}),
    "test ecx, ecx; je": ("85c97410", {"rcx": 1 << 40}),
    "sub ecx, 1; je": ("83e9017410", {"rcx": 1}),
    "jrcxz": ("e310", {"rcx": 0}),
    "jrcxz not": ("e310", {"rcx": 7}),
}


class _Executed:
    """Code on an emulated processor: what registers have after so many instructions, from a random beginning."""

    def __init__(self, code: bytes, count: int, given: dict[str, int]) -> None:
        unicorn = pytest.importorskip("unicorn")
        names = unicorn.x86_const
        chosen = random.Random(code)
        self.names = ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", *(f"r{number}" for number in range(8, 16))]
        emulator = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
        for start in (AT, 0x600000, 0x700000):
            emulator.mem_map(start & ~0xFFF, 0x1000)
        emulator.mem_map(0x402000, 0x1000)
        self.memory = {at: chosen.getrandbits(46) for at in range(0x600000, 0x600100, 8)}
        for at, value in self.memory.items():
            emulator.mem_write(at, value.to_bytes(8, "little"))
        emulator.mem_write(AT, code)
        self.before = {name: chosen.getrandbits(46) for name in self.names} | {"rbp": 0x600040} | given
        for name, value in {**self.before, "rsp": 0x700800}.items():
            emulator.reg_write(getattr(names, f"UC_X86_REG_{name.upper()}"), value)
        emulator.mem_write(0x700800, (0x402000).to_bytes(8, "little"))
        self.read = lambda at: int.from_bytes(emulator.mem_read(at, 8), "little")
        fetched: list[int] = []
        emulator.hook_add(unicorn.UC_HOOK_MEM_FETCH_UNMAPPED, lambda *found: fetched.append(found[2]))
        try:
            emulator.emu_start(AT, 0, count=count)
        except unicorn.UcError:
            assert fetched
        self.after = {name: emulator.reg_read(getattr(names, f"UC_X86_REG_{name.upper()}")) for name in self.before}
        self.at = fetched[0] if fetched else emulator.reg_read(names.UC_X86_REG_RIP)
        self.returns_to = self.read(emulator.reg_read(names.UC_X86_REG_RSP))

    def value(self, held: dict[str, int], value: Value | None) -> int | None:
        """What is known of a value where registers have what they have."""
        known = {"": 0, **held}
        if value is None or value.register not in known or value.index not in known:
            return None
        number = (known[value.register] << value.shift | value.bits) + value.plus + known[value.index]
        number &= (1 << (value.width or 64)) - 1
        return self.read(number) if value.loads else number


def _set(executed: _Executed, effect: Effect, held: dict[str, int]) -> None:
    for name, value in effect.sets:
        number = executed.value(held, value)
        held.pop(name, None)
        if number is not None:
            held[name] = number


@pytest.mark.parametrize("text", INSTRUCTIONS)
def test_registers_have_what_an_emulated_processor_puts_there(text: str) -> None:
    code = bytes.fromhex(INSTRUCTIONS[text])
    executed, effect = _Executed(code, 1, {}), READ(code, AT)
    assert effect.goes_on and effect.length == len(code) and executed.at == AT + len(code)
    held = {**executed.before, RETURN_ADDRESS: 0x402000}
    _set(executed, effect, held)
    for name, value in executed.after.items():  # what is known is right, and what has changed is not what it was
        assert held.get(name, value) == value, name
    assert held.get(RETURN_ADDRESS, executed.returns_to) == executed.returns_to
    if text.startswith(("mov r", "mov e", "lea", "add", "sub", "xor")):
        assert {*held} >= {*executed.before}, "not known"


@pytest.mark.parametrize("text", BRANCHES)
def test_control_goes_where_an_emulated_processor_goes(text: str) -> None:
    code, given = bytes.fromhex(BRANCHES[text][0]), BRANCHES[text][1]
    count = 1 + text.count(";")
    executed = _Executed(code, count, given)
    held, at = {**executed.before, RETURN_ADDRESS: 0x402000}, AT
    for _ in range(count):
        effect = READ(code[at - AT :], at)
        _set(executed, effect, held)
        tested = effect.zero or effect.nonzero
        if (tested and (held[tested] == 0) is not bool(effect.zero)) or effect.goes_on:
            at += effect.length
        else:
            at = effect.to if effect.to is not None else held[effect.through]
    assert at & (1 << 64) - 1 == executed.at, text
    if "call" in text:
        assert held[RETURN_ADDRESS] == executed.returns_to


# ------------------------------------------------------------------------------------------------------- sites

SITE = """
isa = "x86"
[targets]
stub = 0x100
near = 0x1000
near2 = 0x2000
[words]
{words}
{more}
[does]
link = "{link}"
unlink = "{link}"
"""


def site_of(words: str, link: str, more: str = ""):
    return site(SITE.format(words=words, link=link, more=more))


CALL = """
opcode = { at = 3, always = "e8" }
to = { at = 4, stub = "f8 00 00 00", near = "f8 0f 00 00", near2 = "f8 1f 00 00" }
"""
GUARD = """
test = { at = 0, always = "48 81 ff 07 00 00 00" }     # cmp rdi, 7
opcode = { at = 7, always = "90 90 90 90 90 90 90 0f 85" } # jne
to = { at = 16, stub = "ec 00 00 00", near = "ec 0f 00 00", near2 = "ec 1f 00 00" }
"""
CACHE = """
opcode = { at = 6, always = "48 b8" }                  # mov rax, imm64

[words.shape]
at = 8
stub = "00 01 00 00 00 00 00 00"
near = "00 10 00 00 00 00 00 00"
near2 = "00 20 00 00 00 00 00 00"

[words.rest]
at = 16
always = "90 90 90 90 90 90 90 e8"

[words.to]
at = 24
stub = "e4 00 00 00"
near = "e4 0f 00 00"
near2 = "e4 1f 00 00"
"""


@pytest.mark.parametrize(("words", "link"), [(CALL, "store to"), (GUARD, "store to"), (CACHE, "store shape; store to")])
def test_a_call_site_a_guard_and_an_inline_cache_lead_to_their_targets(words: str, link: str) -> None:
    one = site_of(words, link)
    assert [at_rest(one, state).arrives for state in one.states] == [STUB, NEAR, NEAR2]


def test_a_guard_goes_where_its_comparison_says() -> None:
    guarded = GUARD.replace('"90 90', '"eb 00', 1) + 'other = { at = 20, always = "e9 e7 00 00 00" }'
    for rdi, arrives in ((7, STUB), (8, NEAR)):
        one = site_of(guarded, "store to", f"[registers]\nrdi = {rdi}")
        (path,) = paths(one, {"to": (NEAR,)})
        assert path.arrives == arrives


def test_an_inline_cache_may_call_the_new_target_with_the_old_value() -> None:
    relying = site('relies = ["rax"]\n' + SITE.format(words=CACHE, link="store shape; store to", more=""))
    mixed = paths(relying, {"shape": (NEAR, NEAR2), "to": (NEAR, NEAR2)})
    arrives = [(path.target, path.trouble) for path in mixed]
    assert (NEAR2, "rax holds that of near") in arrives and (NEAR2, "") in arrives
    assert len([path for path in mixed if path.arrives]) == 2


def test_a_store_into_the_site_itself_is_said() -> None:
    words = CALL.replace("at = 3", "at = 10").replace("at = 4,", "at = 11,")
    words = words.replace("f8", "f1") + 'counts = { at = 3, always = "48 ff 05 36 00 00 00" }'  # inc qword [rip + 0x36]
    assert at_rest(site_of(words, "store to"), NEAR).arrives == NEAR
    with pytest.raises(InputError, match="leads nowhere, since it accesses slot in a way that is not read"):
        site_of(words, "store to", "[slots]\nslot = 64")


def test_a_way_back_leads_nowhere() -> None:
    with pytest.raises(InputError, match=r"in state stub, .*: leads nowhere, since a branch leads back to 0x3"):
        site_of(CALL.replace('"e8"', '"e9"').replace('stub = "f8 00 00 00"', 'stub = "fb ff ff ff"'), "store to")


def test_every_condition_is_a_branch_that_is_taken() -> None:
    for condition, far in itertools.product(range(16), (False, True)):
        code = bytes([0x0F, 0x80 | condition, 0x10, 0, 0, 0]) if far else bytes([0x70 | condition, 0x10])
        effect = READ(code, AT)
        assert (effect.to, effect.condition) == (AT + len(code) + 0x10, condition)
