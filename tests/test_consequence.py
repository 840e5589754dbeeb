"""What a wrong word does: followed through the code, in words, against what the history of the bug says."""

from __future__ import annotations

from bench.translators.consequence import Consequence, consequences
from bench.translators.flow import Follower
from bench.translators.instruction import Fact, Holds, Instruction, Placed
from bench.translators.registry import load_translator
from bench.translators.translator import Access
from strategies.writes import Form


def temporaries(name: str, access: Access = "load", *, guarded: bool = False) -> dict[int, dict[str, Consequence]]:
    """For the offset of every temporary value what it does, by the way that the access goes."""
    translator = load_translator(name)
    code = translator.block(0, (access,), guarded=guarded)
    found: dict[int, dict[str, Consequence]] = {}
    for write in code.retranslated.writes:
        if write.form is Form.WHOLE and not write.complete:
            each = consequences(translator, code, write.unit.offset, write.value | write.temporary)
            found[write.unit.offset] = {one.when: one for one in each}
    return found


def test_arms_stale_branch_hands_a_host_pointer_to_the_helper_on_a_hit_and_does_nothing_on_a_miss() -> None:
    ((offset, ways),) = temporaries("arm@2010").items()
    assert offset == 32
    hit, miss = ways["hit"], ways["miss"]
    assert (hit.harm, hit.skipped, hit.run) == ("wrong address", (), (40, 44, 48))
    assert "is taken past `mov r0, r4`" in hit.what
    assert "the helper gets r0 = a host pointer into the TLB in place of the guest address" in hit.what
    assert "a page fault at an address that it never used" in hit.sees
    assert (miss.harm, miss.skipped, miss.run) == ("none", (), ())


def test_arms_stale_branch_of_a_store_stores_a_second_time_elsewhere() -> None:
    ((_, ways),) = temporaries("arm@2010", "store").items()
    assert ways["hit"].harm == "wrong address"
    assert ways["hit"].sees.endswith("a store to it")


def test_a_branch_to_itself_hangs_the_guest() -> None:
    for name in ("ppc@2010", "ppc64@2010", "s390x@2010"):
        first, second = temporaries(name).values()
        assert (first["hit"].harm, first["miss"].harm, second["miss"].harm) == ("loop", "none", "loop")
        assert "hit" not in second  # the fast path lies behind it


def test_sparcs_word_is_illegal_taken_or_not_and_mips_leads_out_of_the_block_with_a_host_pointer() -> None:
    first, second = temporaries("sparc@2010").values()
    assert (first["hit"].harm, first["miss"].harm, second["miss"].harm) == ("illegal",) * 3
    assert "`unimp 0`" in first["hit"].what
    guard = temporaries("sparc@2010", guarded=True)[4]  # a label left unbound
    assert {when: one.harm for when, one in guard.items()} == {"hit": "none", "miss": "none", "skip": "loop"}
    first, _ = temporaries("mips@2010").values()
    assert (first["hit"].harm, first["miss"].harm) == ("outside", "none")
    assert "a0, in which a helper takes the guest address, holds a host pointer into the TLB" in first["hit"].what


def test_code_without_temporaries_has_no_consequences_and_the_final_word_does_no_harm() -> None:
    for name in ("arm@2011", "mips@2011", "x86-64@2010", "i386@2010", "aarch64@2013", "ppc@2012"):
        assert temporaries(name) == {}
    for name in ("arm@2010", "mips@2010", "s390x@2014", "sparc@2012"):
        translator = load_translator(name)
        code = translator.block(0)
        for placed in code.placed:
            found = consequences(translator, code, placed.offset, placed.instruction.word)
            assert {one.harm for one in found} <= {"none"}, (name, placed.offset)


# --- Following, on a hand-made block ----------------------------------------------------------------------------------


def word(number: int) -> Instruction:
    return Instruction(number, 4)


def follower(*instructions: Instruction) -> Follower:
    """Words below 100 lead so many bytes ahead when they are branches."""
    placed = [Placed(4 * number, instruction, 0) for number, instruction in enumerate(instructions)]
    return Follower(placed, {"a": Holds.ADDRESS}, lambda value: value if value < 100 else None)


HIT: list[frozenset[Fact]] = [frozenset({"hit"})]


def test_the_instruction_in_a_delay_slot_runs_before_the_target() -> None:
    block = follower(word(12).branch("hit", delay_slot=True), word(500), word(501), word(502).exit())
    assert block.follow(HIT).offsets == (0, 4, 12)


def test_a_nullified_delay_slot_is_fetched_and_has_no_effect() -> None:
    block = follower(
        word(12).branch("hit", nullifies=True), word(500).leaving(a=Holds.CONSTANT), word(501), word(502).exit()
    )
    flow = block.follow(HIT)
    assert (flow.offsets, dict(flow.registers)["a"]) == ((0, 4, 12), Holds.ADDRESS)


def test_a_predicated_instruction_has_no_effect_unless_its_fact_holds() -> None:
    block = follower(word(500).on("miss").leaving(a=Holds.CONSTANT), word(501).exit())
    assert dict(block.follow(HIT).registers)["a"] == Holds.ADDRESS


def test_control_that_leaves_the_block_is_outside_and_one_that_comes_back_the_same_is_a_loop() -> None:
    block = follower(word(8).branch("hit"), word(500), word(501).exit())
    assert block.follow(HIT, wrong={0: 96}).ends == "outside"
    assert block.follow(HIT, wrong={0: 0}).ends == "loop"
    assert block.follow(HIT, wrong={0: 500}).ends == "illegal"


def test_a_call_is_told_what_its_registers_hold_and_a_wrong_one_returns_another_value() -> None:
    call = word(500).call("v", a=Holds.ADDRESS)
    right = follower(call, word(501).exit()).follow(HIT)
    wrong = follower(word(502).leaving(a=Holds.ENTRY), call, word(501).exit()).follow(HIT)
    assert (right.calls[0].right, dict(right.registers)["v"]) == (True, Holds.VALUE)
    assert (wrong.calls[0].right, dict(wrong.registers)["v"]) == (False, Holds.OTHER_VALUE)
    assert wrong.calls[0].holds == (Holds.ENTRY,)
