"""What a wrong word does: followed through the code, in words, against what the history of the bug says."""

from __future__ import annotations

from bench.translators.consequence import consequences
from bench.translators.flow import Follower
from bench.translators.instruction import Fact, Holds, Instruction, Placed
from bench.translators.registry import load_translator


def test_the_final_word_does_no_harm() -> None:
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
