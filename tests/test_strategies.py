"""Strategies: what every hook is held to, composition, forms of writes, and how a strategy is found."""

from __future__ import annotations

import itertools
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cells import cell
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from bench.check import asked
from bench.check.cell import Checked
from bench.program.effects import meaning
from bench.translators.registry import load_translator, translator_names
from strategies import registry, retranslation
from strategies.evaluation import ask
from strategies.operations import Acquire, Do, Flush, Load, Lookup, Operation, Release, Store, Sync, SyncCores
from strategies.retranslation.flush_on_retranslation import FlushOnRetranslation
from strategies.retranslation.global_lock import GlobalLock
from strategies.retranslation.idempotent import Idempotent
from strategies.retranslation.stop_the_world import StopTheWorld
from strategies.strategy import HOOKS, Strategy, StrategyError
from strategies.writes import Block, Buffer, Form, Phase, Region, Unit, Write

NAMES = tuple(registry.shipped())
ARM = load_translator("arm")
CODE = ARM.block(0)
ARGUMENTS: dict[str, Any] = {
    hook: CODE.writes[0]
    if hook == "emit"
    else Buffer(CODE.size, (CODE.whole,))
    if hook == "flush_buffer"
    else CODE.whole
    for hook in HOOKS
}


def checked(strategy: Strategy, scenario: str = "system", **options: Any) -> Checked:
    """One cell on the default host."""
    return cell(strategy, scenario, **options)


def performed(strategy: Strategy, hook: str, argument: Any) -> list[Operation]:
    """The operations of a hook, those of the hooks it runs in their places; every load finds the final value."""
    found: list[Operation] = []
    history: tuple[int, ...] = ()
    while True:
        stretch = ask(strategy, hook, argument, history)
        for operation in stretch.operations:
            found += (
                performed(strategy, operation.hook, operation.argument) if isinstance(operation, Do) else [operation]
            )
        if stretch.ended:
            return found
        last = stretch.operations[-1]
        history = (*history, last.unit.final)


# --- what every hook is held to ---

HEADER = """\
import random
from staleline import *
from strategies.retranslation.flush_on_retranslation import FlushOnRetranslation
from strategies.retranslation.global_lock import GlobalLock
from strategies.retranslation.stop_the_world import StopTheWorld

CALLS = []

"""

def hooks() -> dict[str, tuple[str, str]]:
    """Bodies of a class ``Mine`` with their messages, by what is wrong; ``right`` is what the guards leave alone."""
    sections = (ROOT / "tests" / "refused" / "hooks.txt").read_text(encoding="utf-8").split("=== ")[1:]
    named = (section.strip("\n").partition("\n") for section in sections)
    return {name: (body.partition("\n=> ")[0], body.partition("\n=> ")[2]) for name, _, body in named}


CASES = hooks()


def written(path: Path, body: str, base: str = "Strategy") -> tuple[str, int]:
    """Write a class ``Mine``; where it can be found, and the line marked ``HERE``."""
    source = f"{HEADER}class Mine({base}):\n{textwrap.indent(textwrap.dedent(body).strip(), '    ')}\n"
    path.write_text(source)
    marked = [number for number, line in enumerate(source.splitlines(), 1) if "# HERE" in line]
    return f"{path}:Mine", marked[0] if marked else 0


@pytest.mark.parametrize("wrong", [name for name, (_, message) in CASES.items() if message])
def test_a_wrong_hook_is_refused_with_class_hook_and_line(wrong: str, tmp_path: Path) -> None:
    body, message = CASES[wrong]
    name, line = written(tmp_path / "mine.py", body)
    with pytest.raises(StrategyError) as caught:
        checked(registry.find(name))
    found = str(caught.value).removeprefix(f"{tmp_path}/mine.py: ")
    assert found.startswith(message.format(line=line))
    assert "\n" not in found


@pytest.mark.parametrize("right", [name for name, (_, message) in CASES.items() if not message])
def test_a_right_hook_is_not_refused(right: str, tmp_path: Path) -> None:
    name, _ = written(tmp_path / "mine.py", CASES[right][0])
    result = checked(registry.find(name))
    assert result.verdict in ("holds", "fails")
    assert result.outcome.failure in ("", "wrong fetch")


def test_a_lock_leaked_by_a_base_class_is_laid_at_its_door_too(tmp_path: Path) -> None:
    leak = 'class Leak(Strategy):\n    def begin(self, region):\n        return (Acquire("leak"),)\n'
    path = tmp_path / "mine.py"
    path.write_text(f"{HEADER}{leak}class Mine(StopTheWorld, Leak):\n    pass\n")
    line = HEADER.count("\n") + 2
    with pytest.raises(StrategyError, match=rf"\(super: Leak.begin, line {line}\): takes the lock 'leak'"):
        checked(registry.find(f"{path}:Mine"))


# --- names and summaries ---


def named(name: str, docstring: str | None = None, base: type[Strategy] = Strategy) -> type[Strategy]:
    """A strategy class with that name."""
    return type(name, (base,), {"__doc__": docstring})


@pytest.mark.parametrize(
    ("class_name", "name"),
    [
        ("Unfixed", "unfixed"), ("StopTheWorldFlush", "stop-the-world-flush"), ("TLBFlush", "tlb-flush"),
        ("FlushOnTBFlush", "flush-on-tb-flush"), ("Fix2011", "fix2011"), ("X86Fix", "x86-fix"),
    ],
)
def test_the_name_comes_from_the_class(class_name: str, name: str) -> None:
    assert named(class_name).name == name


def test_name_and_summary_are_the_classs_own() -> None:
    class Mine(Strategy):
        name = "my-own"

    assert Mine.name == "my-own"
    assert named("Mine", "  Do it well.\n\n  More of it.").summary == "Do it well."
    assert named("Mine", base=GlobalLock).summary == ""  # not that of its base class


# --- composition ---

SHIPPED = {name: registry.find(name) for name in NAMES}
NEVER_RETRANSLATES = ("side-table", "retranslate")


def _marked(hook: str) -> Callable[[Strategy, Any], Any]:
    """A hook that leaves a mark and then calls its base class."""

    def plain(self: Strategy, argument: Any) -> Any:
        return (Sync(), *getattr(super(Probe, self), hook)(argument))

    def generator(self: Strategy, argument: Any) -> Any:
        yield Sync()
        yield from super(Probe, self).emit(argument)

    return generator if hook == "emit" else plain


Probe = type("Probe", (Strategy,), {hook: _marked(hook) for hook in HOOKS})
"""Every hook leaves a mark."""


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_hook_calls_super(name: str, hook: str) -> None:
    cls = type(SHIPPED[name])
    under = type("Under", (cls, Probe), {})()
    over = type("Over", (Probe, cls), {})()
    argument = ARGUMENTS[hook]
    marked = Sync() in performed(under, hook, argument)
    assert marked is ((name, hook) != NEVER_RETRANSLATES)
    kept = [operation for operation in performed(over, hook, argument) if operation != Sync()]
    assert kept == [operation for operation in performed(cls(), hook, argument) if operation != Sync()]


PAIRS = [
    pair for pair in itertools.permutations(NAMES, 2) if not issubclass(type(SHIPPED[pair[1]]), type(SHIPPED[pair[0]]))
]
"""A base class cannot come before its subclass."""


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_any_two_shipped_strategies_compose(one: str, other: str) -> None:
    first, second = type(SHIPPED[one]), type(SHIPPED[other])
    both = type("Both", (first, second), {})()
    result = checked(both, max_states=2000)
    assert result.outcome.failure in ("", "wrong fetch")
    wanted = {type(operation) for cls in (first, second) for operation in performed(cls(), "publish", CODE.whole)}
    assert wanted <= {type(operation) for operation in performed(both, "publish", CODE.whole)}


def test_two_locks_compose_in_either_order() -> None:
    outer, inner = (
        [each for each in performed(type("Both", bases, {})(), "retranslate", CODE.retranslated)
         if not isinstance(each, Store | Load)]
        for bases in ((GlobalLock, StopTheWorld), (StopTheWorld, GlobalLock))
    )
    takes, gives = (Acquire("retranslation"), Acquire("world")), (Release("world"), Release("retranslation"))
    assert outer == [*takes, SyncCores(), *gives]
    assert inner == [*reversed(takes), gives[1], SyncCores(), gives[0]]


def test_the_order_of_composition_has_a_meaning_and_check_finds_it() -> None:
    inside = type("FlushInside", (StopTheWorld, FlushOnRetranslation), {})()
    outside = type("FlushOutside", (FlushOnRetranslation, StopTheWorld), {})()
    assert [type(each) for each in performed(inside, "publish", CODE.whole)] == [Flush, SyncCores, Release]
    assert [type(each) for each in performed(outside, "publish", CODE.whole)] == [SyncCores, Release, Flush]
    assert checked(inside, "user").verdict == "holds"
    assert checked(outside, "user").verdict == "fails", "others run before the flush"


# --- what the shipped ones do ---


def test_unfixed_emits_what_the_translator_wrote() -> None:
    stores = [
        each for each in performed(SHIPPED["unfixed"], "retranslate", CODE.retranslated) if isinstance(each, Store)
    ]
    assert len(stores) == len(CODE.retranslated.writes)
    assert [store.unit for store in stores] == [write.unit for write in CODE.retranslated.writes]


@pytest.mark.parametrize("name", NAMES)
def test_a_first_translation_ends_with_a_flush_and_only_the_side_table_keeps_memory(name: str) -> None:
    assert registry.find(name).name == name
    assert performed(SHIPPED[name], "translate", CODE.whole)[-1] == Flush(CODE.whole)
    kept = SHIPPED[name].side_bytes(Block(10, 639, 2)), SHIPPED[name].side_bytes(Block(10, 640, 2))
    assert kept == ((30, 40) if name == "side-table" else (0, 0))


def test_a_side_table_looks_up_and_writes_nothing_and_a_scratch_buffer_takes_every_store() -> None:
    assert performed(SHIPPED["side-table"], "retranslate", CODE.retranslated) == [Lookup(CODE.retranslated)]
    found = performed(SHIPPED["scratch-buffer"], "retranslate", CODE.retranslated)
    assert found
    assert all(isinstance(each, Store | Load) and each.unit.in_scratch for each in found)


def test_stop_the_world_shares_the_lock_among_executors() -> None:
    strategy = SHIPPED["stop-the-world"]
    assert performed(strategy, "enter", CODE.whole) == [Acquire("world", shared=True)]
    assert performed(strategy, "leave", CODE.whole) == [Release("world")]
    assert performed(strategy, "begin", CODE.whole) == [Acquire("world", shared=False)]


# --- writes and their forms ---


@st.composite
def writes(draw: st.DrawFn) -> Write:
    """A write of any unit, with any bits known."""
    size = draw(st.integers(1, 15))
    bits = st.integers(0, (1 << 8 * size) - 1)
    whole_bytes = st.lists(st.booleans(), min_size=size, max_size=size).map(
        lambda lanes: sum(0xFF << 8 * lane for lane, present in enumerate(lanes) if present)
    )
    known = draw(bits | whole_bytes)
    final = draw(bits)
    unit = Unit(0, 0, size, final)
    return Write(unit, Phase.BRANCH, known, final & known, draw(bits) & ~known)


def executed(write: Write, held: int) -> int:
    """What the unit holds after a write in its form, by the base class's operations."""
    history: tuple[int, ...] = ()
    while True:
        stretch = ask(Strategy(), "emit", write, history)
        if stretch.ended:
            break
        history = (*history, held)
    store = stretch.operations[-1]
    return (held & ~store.mask) | (store.value & store.mask)


idempotent_forms = st.sampled_from([Form.SKIP_BYTES, Form.READ_BACK])


@given(writes(), idempotent_forms)
def test_an_idempotent_form_leaves_a_final_unit_final(write: Write, form: Form) -> None:
    assert executed(write.in_form(form), write.unit.final) == write.unit.final


@given(writes(), st.sampled_from([Form.WHOLE, Form.SKIP_BYTES, Form.READ_BACK]), st.data())
def test_every_form_makes_the_known_bits_final_whatever_was_there(
    write: Write, form: Form, data: st.DataObject
) -> None:
    held = data.draw(st.integers(0, write.unit.mask))
    assert executed(write.in_form(form), held) & write.known == write.value


@given(writes(), st.data())
def test_a_whole_store_leaves_the_temporary_where_nothing_is_known(write: Write, data: st.DataObject) -> None:
    held = data.draw(st.integers(0, write.unit.mask))
    assert executed(write.in_form(Form.WHOLE), held) & ~write.known == write.temporary


@given(writes(), st.sampled_from(Form))
def test_a_complete_write_is_one_plain_store_in_any_form(write: Write, form: Form) -> None:
    final = write.unit.final
    complete = Write(write.unit, write.phase, write.unit.mask, final, form=Form.READ_BACK).in_form(form)
    assert complete.form is Form.WHOLE
    assert ask(Strategy(), "emit", complete).operations == (Store(write.unit, write.unit.mask, final),)


@given(writes())
def test_skipping_bytes_stores_the_known_bytes_and_no_others(write: Write) -> None:
    skipping = write.in_form(Form.SKIP_BYTES)
    if skipping.form is Form.SKIP_BYTES:
        (store,) = ask(Strategy(), "emit", skipping).operations
        assert store.mask == write.known
        run = f"{store.mask:b}".rstrip("0")
        assert set(run) == {"1"}
        assert len(run) in (8, 16, 32, 64), "what one store instruction can write"
        assert len(f"{store.mask:b}") % 8 == 0
    else:
        assert skipping.form is (Form.WHOLE if write.complete else Form.READ_BACK)


@given(writes(), st.data())
def test_an_add_patch_is_right_only_on_the_temporary_value(write: Write, data: st.DataObject) -> None:
    patch = Write(write.unit, Phase.BRANCH_UPDATE, write.known, write.value, form=Form.ADD_PATCH)
    rest = write.unit.final & ~write.known
    once = executed(patch, rest)
    assert once == write.unit.final
    assert (executed(patch, once) == write.unit.final) == (write.value == 0), "a second time it adds again"


@pytest.mark.parametrize("name", translator_names())
@pytest.mark.parametrize("strategy", ["idempotent", "idempotent-read-back"])
def test_the_fixes_leave_every_unit_of_every_backend_final_at_every_moment(strategy: str, name: str) -> None:
    code = load_translator(name).block(0, ("load", "store"))
    for write in code.writes:
        for operation in performed(SHIPPED[strategy], "emit", write):
            if isinstance(operation, Store):
                final = operation.unit.final
                assert (final & ~operation.mask) | (operation.value & operation.mask) == final


@pytest.mark.parametrize("name", ["arm@2010", "s390x@2010"])
def test_as_emitted_in_2010_a_unit_is_wrong_for_a_while_and_final_at_the_end(name: str) -> None:
    code = load_translator(name).block(0)
    held = {unit.offset: unit.final for unit in code.whole}
    seen_wrong = set()
    for write in code.writes:
        held[write.unit.offset] = executed(write, held[write.unit.offset])
        if held[write.unit.offset] != write.unit.final:
            seen_wrong.add(write.unit.offset)
    assert seen_wrong
    assert all(held[unit.offset] == unit.final for unit in code.whole)


def test_a_write_whose_bits_overlap_and_a_region_with_another_blocks_write_are_refused() -> None:
    for known, value, temporary in ((0x1FF, 0, 0), (0x0F, 0xF0, 0), (0x0F, 0, 0x01)):
        with pytest.raises(ValueError, match="write to offset 12"):
            Write(Unit(0, 12, 1, 0), Phase.BRANCH, known, value, temporary)
    with pytest.raises(ValueError, match="region of block 1: holds a write to block 0"):
        Region(1, 4, CODE.writes[:1])


# --- finding strategies ---


def test_strategies_are_shipped_with_the_floor_first() -> None:
    assert ("unfixed", *sorted(set(NAMES) - {"unfixed"})) == NAMES
    assert all(cls.summary.endswith(".") for cls in registry.shipped().values())


def test_a_class_in_a_file_is_found_and_read_anew_each_time(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    name, _ = written(path, "def publish(self, region):\n    return (Flush(region),)")
    found = registry.find(name)
    assert (found.name, found.summary) == ("mine", "")
    assert checked(found).verdict == "holds"
    written(path, '"""Another one."""')
    assert registry.find(name).summary == "Another one."


BAD_FILES: dict[str, tuple[bytes | None, str]] = {
    "missing": (None, "no such file; expected path/to/file.py:Class"), "folder": (None, "no such file"),
    "syntax error": (b"x = 1\nclass Mine(:\n", "line 2: invalid syntax; expected a Python file"),
    "binary": (b"\x00\x01\x02", "source code string cannot contain null bytes"),
    "not UTF-8": (b"x = '\xff'\n", "expected a Python file"),
    "raises": (b"raise RuntimeError('no')\n", "RuntimeError: no"),
    "exits": (b"raise SystemExit(3)\n", "SystemExit: 3"),
    "imports what is not there": (b"import absent_module\n", "ModuleNotFoundError: No module named 'absent_module'"),
    "class missing": (
        b"from staleline import Strategy\nclass Yours(Strategy):\n    pass\n", "no class Mine; expected one of Yours",
    ),
    "empty": (b"", "no class Mine; expected one of its Strategy subclasses"),
    "not a strategy": (b"class Mine:\n    pass\n", "not a subclass of staleline.Strategy"),
    "not a class": (b"Mine = 3\n", "not a subclass of staleline.Strategy"),
    "the base class": (b"from staleline import Strategy as Mine\n", "not a subclass of staleline.Strategy"),
    "class that takes something": (
        b"from staleline import Strategy\nclass Mine(Strategy):\n    def __init__(self, n):\n        pass\n",
        "missing 1 required positional argument: 'n'; expected a class that takes nothing",
    ),
}


@pytest.mark.parametrize("bad", BAD_FILES)
def test_a_bad_file_is_refused_in_one_line_that_names_it(bad: str, tmp_path: Path) -> None:
    content, message = BAD_FILES[bad]
    path = tmp_path / "mine.py"
    path.mkdir() if bad == "folder" else path.write_bytes(content) if content is not None else None
    with pytest.raises(StrategyError, match=re.escape(message)) as caught:
        registry.find(f"{path}:Mine")
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


ODD = {
    "publish = property(lambda self: ())": "A.publish: is a property; write a plain method",
    "publish = partialmethod(lambda self, r: ())": "A.publish: is a partialmethod; write a plain method",
    "publish = print": "A.publish: is a builtin_function_or_method; write a plain method",
    "publish = 3": "A.publish: is a int; write a plain method",
    "side_bytes = 3": "A.side_bytes: is a int; write a plain method",
    "async def publish(self, region): return ()": "A.publish, line 6: is async; write a plain method",
    "async def publish(self, region): yield 1": "A.publish, line 6: is async; write a plain method",
    "summary = 3": "A: summary 3; expected text",
    "__hash__ = None": "mine.py: A: defines == or hash (@dataclass does)",
    "def __eq__(self, other): return True": "mine.py: A: defines == or hash (@dataclass does)",
    "def publish(self, region): raise BaseException('x')": "mine.py: A.publish, line 6: raised BaseException: x",
    "def publish(self, region): raise GeneratorExit": "mine.py: A.publish, line 6: raised GeneratorExit",
    "def side_bytes(self, tb): raise ValueError('x')": "mine.py: A.side_bytes, line 6: raised ValueError: x",
    "def side_bytes(self, tb): return 2**63": "A.side_bytes, line 6: returns 9223372036854775808; return a number of",
    "def side_bytes(self, tb): return -1": "A.side_bytes, line 6: returns -1; return a number of bytes, 0 to",
    "def side_bytes(self, tb): return True": "A.side_bytes, line 6: returns True; return a number of bytes, 0 to",
    "def side_bytes(self, tb): return next(COUNT)": "A.side_bytes, line 6: asked twice, it gave 0 and 1; it must be",
    "name = 'unfixed'": "mine.py:A: called 'unfixed', as a strategy that is shipped",
}


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_class_is_refused_with_its_place(odd: str, tmp_path: Path) -> None:
    head = "from functools import partialmethod\nfrom itertools import count\nfrom staleline import Strategy\n"
    (tmp_path / "mine.py").write_text(f"{head}COUNT = count()\nclass A(Strategy):\n    {odd}\n")
    with pytest.raises(StrategyError, match=re.escape(ODD[odd])):
        meaning(registry.find(f"{tmp_path}/mine.py:A"), ARM)


def test_two_strategies_of_one_name_are_refused(tmp_path: Path) -> None:
    for file in ("one.py", "two.py"):
        (tmp_path / file).write_text("from staleline import Strategy\nclass A(Strategy):\n    pass\n")
    both = [f"{tmp_path}/{file}:A" for file in ("one.py", "two.py")]
    with pytest.raises(StrategyError, match=r"two\.py:A: two strategies called 'a'; expected name"):
        asked.strategies(both)


def test_what_a_strategy_prints_is_no_part_of_an_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "from staleline import Strategy\nprint('file')\nclass A(Strategy):\n    def publish(self, region):\n"
    (tmp_path / "mine.py").write_text(f"{text}        print('hook')\n        return ()\n")
    assert checked(registry.find(f"{tmp_path}/mine.py:A")).verdict == "fails"
    printed = capsys.readouterr()
    assert (printed.out, printed.err.splitlines()[:2]) == ("", ["file", "hook"])


Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a distribution with one module, ``third_party``, and one entry point."""

    def _install(source: str, point: str) -> None:
        (tmp_path / "third_party.py").write_text(source)
        info = tmp_path / "third_party-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{point}\n")
        monkeypatch.syspath_prepend(tmp_path)
        registry.installed.cache_clear()

    yield _install
    registry.installed.cache_clear()
    sys.modules.pop("third_party", None)


def test_an_installed_package_adds_strategies(install: Install) -> None:
    install(
        "from staleline import Flush, Strategy\n\n\nclass TheirFlush(Strategy):\n"
        '    """Theirs."""\n\n    def publish(self, region):\n        return (Flush(region),)\n',
        "theirs = third_party:TheirFlush",
    )
    assert registry.names() == (*NAMES, "their-flush")
    assert registry.find("their-flush").summary == "Theirs."
    assert checked(registry.find("their-flush")).verdict == "holds"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "entry point theirs = third_party:Theirs: AttributeError"),
        ("1 / 0", "entry point theirs = third_party:Theirs: ZeroDivisionError: division by zero"),
        ("class Theirs:\n    pass\n", "entry point theirs = third_party:Theirs: not a subclass of staleline.Strategy"),
    ],
)
def test_a_bad_entry_point_is_refused_by_name(install: Install, source: str, message: str) -> None:
    install(source, "theirs = third_party:Theirs")
    with pytest.raises(StrategyError, match=re.escape(message)):
        registry.names()


def test_adding_a_strategy_touches_one_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.report import catalogue

    (tmp_path / "mine.py").write_text(
        "from strategies.retranslation.idempotent import Idempotent\n\n\nclass MineToo(Idempotent):\n"
        '    """Found by being there."""\n'
    )
    monkeypatch.setattr(retranslation, "__path__", [*retranslation.__path__, str(tmp_path)])
    registry.shipped.cache_clear()
    try:
        assert registry.find("mine-too").summary == "Found by being there."
        assert "Found by being there." in catalogue.CatalogueReport(catalogue.catalogue()).text("simple")
        assert checked(registry.find("mine-too")).verdict == "holds"
    finally:
        registry.shipped.cache_clear()
        sys.modules.pop("strategies.retranslation.mine", None)


def test_values_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Acquire("mine").shared = True
    with pytest.raises(AttributeError):
        CODE.writes[0].form = Form.WHOLE


def test_a_strategy_may_be_made_with_state_but_its_hooks_may_not_change_it() -> None:
    class Limited(Idempotent):
        def __init__(self) -> None:
            self.limit = 3

    strategy = Limited()
    assert strategy.limit == 3
    assert checked(strategy).verdict == "holds"
