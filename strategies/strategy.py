"""The base class of all strategies, and the checks that every hook passes.

``Strategy`` is QEMU as it was in early January 2011; a subclass says only where
it differs.  Its hooks return operations: a tuple when nothing depends on a
result, a generator when something does.  A hook is a pure function of its
argument and of what it loaded, because the checker asks it again for every
history of results, in any order.
"""

from __future__ import annotations

import ast
import difflib
import functools
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Generator
from types import FrameType, FunctionType
from typing import Any, ClassVar

from strategies.operations import OPERATIONS, Do, Flush, Hook, Load, Operation, Store
from strategies.writes import Block, Buffer, Form, Region, Write


class StrategyError(Exception):
    """A strategy that cannot mean anything: the message names class, hook and line."""


class Strategy:
    """As emitted: rewrite the live code and publish nothing."""

    name: ClassVar[str]
    summary: ClassVar[str]

    def translate(self, region: Region) -> Hook:
        """Generate a block for the first time; QEMU has always flushed after that (``tcg_gen_code``)."""
        return (*(Do("emit", write) for write in region.writes), Flush(region))

    def retranslate(self, region: Region) -> Hook:
        """Generate the block again, from its first byte to the end of the faulting operation."""
        return (Do("begin", region), *(Do("emit", write) for write in region.writes), Do("publish", region))

    def begin(self, region: Region) -> Hook:
        """Before the first write of a retranslation."""
        return ()

    def emit(self, write: Write) -> Hook:
        """Put one write into memory, in its own form."""
        unit = write.unit
        if write.form is Form.SKIP_BYTES:
            return (Store(unit, write.known_bytes, write.value & write.known_bytes),)
        if write.form is Form.READ_BACK:
            return self._read_back(write)
        if write.form is Form.ADD_PATCH:
            return self._add_patch(write)
        return (Store(unit, unit.mask, write.value | write.temporary),)

    def publish(self, region: Region) -> Hook:
        """After the last write of a retranslation."""
        return ()

    def enter(self, region: Region) -> Hook:
        """Before every execution of the block."""
        return ()

    def leave(self, region: Region) -> Hook:
        """After every execution of the block, a faulting one included."""
        return ()

    def flush_buffer(self, buffer: Buffer) -> Hook:
        """When the whole code buffer is thrown away (a tb flush)."""
        return ()

    def side_bytes(self, tb: Block) -> int:
        """Bytes of memory kept beside the block ``tb``."""
        return 0

    @staticmethod
    def _read_back(write: Write) -> Generator[Operation, int | None, None]:
        old = (yield Load(write.unit)) or 0
        yield Store(write.unit, write.unit.mask, (old & ~write.known) | write.value)

    @staticmethod
    def _add_patch(write: Write) -> Generator[Operation, int | None, None]:
        old = (yield Load(write.unit)) or 0
        total = (old & write.known) + write.value
        yield Store(write.unit, write.unit.mask, (old & ~write.known) | (total & write.known))

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        own = vars(cls)
        if "name" not in own:
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", cls.__name__).lower()
        if "summary" not in own:
            cls.summary = (inspect.getdoc(cls) or "").partition("\n")[0] if own.get("__doc__") else ""
        for name, member in list(own.items()):
            if isinstance(member, FunctionType) and not name.startswith("_"):
                _refuse_unknown(cls, name, member)
                if name in HOOKS:
                    _refuse_dropped(cls, name, member)
                    setattr(cls, name, _checked(cls, name, member))


HOOKS = ("translate", "retranslate", "begin", "emit", "publish", "enter", "leave", "flush_buffer")
"""The hooks that return operations, in the order in which a block meets them."""

_METHODS = (*HOOKS, "side_bytes")


def place_of(strategy: Strategy | type[Strategy], hook: str) -> str:
    """Where a strategy's hook is defined, for messages: ``Class.hook, line N``."""
    cls = strategy if isinstance(strategy, type) else type(strategy)
    for base in cls.__mro__:
        member = vars(base).get(hook)
        if member is not None:
            return _place(base, hook, inspect.unwrap(member))
    return f"{cls.__name__}.{hook}"


def _place(cls: type, hook: str, function: Callable[..., Any]) -> str:
    return f"{cls.__name__}.{hook}, line {function.__code__.co_firstlineno}"


def _refuse_unknown(cls: type, name: str, function: FunctionType) -> None:
    if name in _METHODS:
        return
    close = difflib.get_close_matches(name, _METHODS, 1)
    hint = f"did you mean {close[0]}?" if close else f"hooks are {', '.join(_METHODS)}"
    raise StrategyError(f"{_place(cls, name, function)}: unknown hook; {hint} (helpers start with an underscore)")


def _refuse_dropped(cls: type, hook: str, function: FunctionType) -> None:
    """Refuse a statement that builds an operation, or asks another hook, and drops the result: a forgotten yield."""
    try:
        source = textwrap.dedent(inspect.getsource(function))
        tree = ast.parse(source)
    except (OSError, SyntaxError, TypeError):  # no source to look at: an interactive session
        return
    names = {operation.__name__ for operation in OPERATIONS}
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
            continue
        called = node.value.func
        name = called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
        if name in names or (name in HOOKS and isinstance(called, ast.Attribute)):
            line = function.__code__.co_firstlineno + node.lineno - 1
            word = "yield" if name in names else "yield from"
            text = ast.unparse(node.value)
            raise StrategyError(f"{cls.__name__}.{hook}, line {line}: {text} is built and dropped; write {word} {text}")


def _checked(cls: type, hook: str, function: FunctionType) -> Callable[..., Hook]:
    """The hook, with its answer checked: a tuple of operations, or a generator that gets its results."""

    @functools.wraps(function)
    def checked(self: Strategy, argument: Any) -> Hook:
        answer = function(self, argument)
        if isinstance(answer, _Results):
            return answer
        if isinstance(answer, Generator):
            return _Results(answer, f"{cls.__name__}.{hook}")
        if not isinstance(answer, tuple):
            found = "nothing" if answer is None else type(answer).__name__
            raise StrategyError(
                f"{_place(cls, hook, function)}: returns {found}; return a tuple of operations, or yield them"
            )
        for operation in answer:
            refuse_foreign(operation, _place(cls, hook, function))
        return answer

    return checked


def refuse_foreign(operation: object, place: str) -> None:
    """Raise ``StrategyError`` unless ``operation`` is an operation."""
    if not isinstance(operation, OPERATIONS):
        raise StrategyError(f"{place}: {operation!r} is not an operation; see strategies/operations.py")


class _Results(Generator[Operation, int | None, None]):
    """A hook's generator that must be told the result of each ``Load``.

    Unpacking it (``*super().emit(write)``) would drop the results and run on
    with made-up ones; ``yield from`` hands them through.
    """

    def __init__(self, inner: Generator[Operation, int | None, None], label: str) -> None:
        self._inner = inner
        self._label = label
        self._loading = False

    def send(self, value: int | None) -> Operation:
        if self._loading and value is None:
            raise StrategyError(
                f"{_caller(sys._getframe(1))}: unpacks {self._label}, whose operations depend on results; "
                f"write yield from"
            )
        operation = next(self._inner) if value is None else self._inner.send(value)
        self._loading = isinstance(operation, Load)
        return operation

    def throw(self, *arguments: Any) -> Operation:
        return self._inner.throw(*arguments)

    def close(self) -> None:
        self._inner.close()


def _caller(frame: FrameType | None) -> str:
    """``Class.hook, line N`` of the nearest hook above ``frame``."""
    while frame is not None:
        code, owner = frame.f_code, frame.f_locals.get("self")
        if code.co_name in HOOKS and isinstance(owner, Strategy):
            name = code.co_qualname.rpartition(".")[0].rpartition(".")[2] or type(owner).__name__
            return f"{name}.{code.co_name}, line {frame.f_lineno}"
        frame = frame.f_back
    return "a hook"


for _hook in HOOKS:  # the base class's own hooks answer under the same rules
    setattr(Strategy, _hook, _checked(Strategy, _hook, vars(Strategy)[_hook]))
