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
import os
import re
import sys
import textwrap
from collections.abc import Callable, Generator
from types import FrameType, FunctionType
from typing import Any, ClassVar, Self, get_args, get_type_hints

from strategies.operations import Do, Flush, Hook, Load, Operation, Store
from strategies.writes import Block, Buffer, Form, Region, Write

# What a comma list, a table and a shell take as it is.
_NAME = re.compile(r"\w[\w.+-]*")


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
        """When the whole code buffer is discarded (a tb flush)."""
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

    def __setattr__(self, name: str, value: object) -> None:
        place = _caller(sys._getframe(1))
        if place is not None:
            raise StrategyError(f"{place}: sets self.{name}; a hook must be pure: keep no state on self")
        super().__setattr__(name, value)

    def __new__(cls, *arguments: Any, **keywords: Any) -> Self:
        # Here, since @dataclass defines both behind the class.
        if cls.__eq__ is not object.__eq__ or cls.__hash__ is not object.__hash__:
            file = getattr(sys.modules.get(cls.__module__), "__file__", None) or "<>"
            raise StrategyError(
                f"{_shown(file)}{cls.__name__}: defines == or hash (@dataclass does); a strategy is "
                f"only equal to itself: @dataclass(eq=False)"
            )
        return super().__new__(cls)

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        own = vars(cls)
        if "name" not in own:
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", cls.__name__).lower()
        if not (isinstance(cls.name, str) and _NAME.fullmatch(cls.name)):
            raise StrategyError(f"{cls.__name__}: name {cls.name!r}; expected letters, digits, '-', '_', '.' and '+'")
        if "summary" not in own:
            cls.summary = (inspect.getdoc(cls) or "").partition("\n")[0] if own.get("__doc__") else ""
        if not isinstance(cls.summary, str):
            raise StrategyError(f"{cls.__name__}: summary {cls.summary!r}; expected text")
        for name, member in list(own.items()):
            function = member.__func__ if isinstance(member, staticmethod | classmethod) else member
            if isinstance(function, FunctionType) and not name.startswith("_"):
                _refuse_unknown(cls, name, function)
            if name not in _METHODS:
                continue
            place = _place(cls, name, function) if isinstance(function, FunctionType) else f"{cls.__name__}.{name}"
            asynchronous = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
            if function is not member or not isinstance(function, FunctionType) or asynchronous:
                kind = "async" if asynchronous else f"a {type(member).__name__}"
                raise StrategyError(f"{place}: is {kind}; write a plain method")
            if name in HOOKS:
                _refuse_dropped(cls, name, function)
                setattr(cls, name, _checked(cls, name, function))


HOOKS = ("translate", "retranslate", "begin", "emit", "publish", "enter", "leave", "flush_buffer")
"""The hooks that return operations, in the order in which a block meets them."""

_METHODS = (*HOOKS, "side_bytes")
_ARGUMENTS = {"emit": Write, "flush_buffer": Buffer}
"""What the hooks are asked with that are not asked with a ``Region``."""


def place_of(strategy: Strategy | type[Strategy], hook: str) -> str:
    """Where a strategy's hook is defined, for messages: ``Class.hook, line N``, and what ``super()`` may reach."""
    cls: Any = strategy if isinstance(strategy, type) else type(strategy)
    return _defined(cls, hook)


@functools.lru_cache
def _defined(cls: Any, hook: str) -> str:
    bases = [base for base in cls.__mro__ if hook in vars(base) and base is not Strategy] or [Strategy]
    functions = [inspect.unwrap(vars(base)[hook]) for base in bases]
    above = [
        f"{base.__name__}.{hook}, line {function.__code__.co_firstlineno}"
        for base, function in zip(bases[1:], functions[1:], strict=True)
    ]
    first = _place(bases[0], hook, functions[0])
    return f"{first} (super: {'; '.join(above)})" if above else first


def _place(cls: type, hook: str, function: Callable[..., Any]) -> str:
    code = function.__code__
    return f"{_shown(code.co_filename)}{cls.__name__}.{hook}, line {code.co_firstlineno}"


def _shown(file: str) -> str:
    """The file in front of a place, from the working folder where it lies below it; nothing where there is none."""
    if file.startswith("<"):
        return ""
    near = os.path.relpath(file) if os.path.splitdrive(file)[0] == os.path.splitdrive(os.getcwd())[0] else file
    return f"{file if near.startswith('..') else near}: "


def _refuse_unknown(cls: type, name: str, function: FunctionType) -> None:
    if name not in _METHODS:
        hint = _nearest(name, _METHODS)
        raise StrategyError(f"{_place(cls, name, function)}: unknown hook; {hint} (helpers start with an underscore)")


def _nearest(name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    return f"did you mean {close[0]}?" if close else f"hooks are {', '.join(known)}"


def _refuse_dropped(cls: type, hook: str, function: FunctionType) -> None:
    """Refuse code that builds an operation, or asks another hook, and drops the result: a forgotten yield."""
    try:
        source = textwrap.dedent(inspect.getsource(function))
        tree = ast.parse(source)
    except (OSError, SyntaxError, TypeError):  # no source to look at: an interactive session
        return
    handed_on = _handed_on(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Expr(ast.Call(called) as call):
                pass
            case ast.Assign([ast.Name(bound)], ast.Call(called) as call) if bound not in handed_on:
                pass
            case _:
                continue
        name = called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
        operation = name in {kind.__name__ for kind in Operation.__subclasses__()}
        if operation or (name in HOOKS and isinstance(called, ast.Attribute)):
            line = function.__code__.co_firstlineno + node.lineno - 1
            word = "yield" if operation else "yield from"
            text = ast.unparse(call)
            file = _shown(function.__code__.co_filename)
            raise StrategyError(
                f"{file}{cls.__name__}.{hook}, line {line}: {text} is built and dropped; write {word} {text}"
            )


def _handed_on(tree: ast.AST) -> set[str]:
    """The variables that are used for more than arithmetic: an operation that is only reckoned with is dropped."""
    reckoned = {
        id(operand)
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp | ast.UnaryOp | ast.Compare)
        for operand in ast.iter_child_nodes(node)
    }
    return {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and id(node) not in reckoned
    }


def _checked(cls: type, hook: str, function: FunctionType) -> Callable[..., Hook]:
    """The hook, with its answer checked: a tuple of operations, or a generator that gets its results."""

    place = _place(cls, hook, function)

    @functools.wraps(function)
    def checked(self: Strategy, argument: Any) -> Hook:
        answer = function(self, argument)
        if isinstance(answer, _Results | _Checked):
            return answer
        if isinstance(answer, Generator):
            return _Results(answer, f"{cls.__name__}.{hook}", place)
        if not isinstance(answer, tuple):
            found = "nothing" if answer is None else type(answer).__name__
            raise StrategyError(f"{place}: returns {found}; return a tuple of operations, or yield them")
        for operation in answer:
            refuse_foreign(operation, place)
        return _Checked(answer)

    return checked


def refuse_foreign(operation: object, place: str) -> None:
    """Raise ``StrategyError`` unless ``operation`` is an operation, on what it is meant for."""
    if not isinstance(operation, Operation):
        raise StrategyError(f"{place}: {operation!r} is not an operation; see strategies/operations.py")
    known: Any = type(operation)
    for name, kind in _fields(known).items():
        value = getattr(operation, name)
        if not isinstance(value, kind):
            found, wanted = known.__name__, " or ".join(each.__name__ for each in get_args(kind) or (kind,))
            raise StrategyError(f"{place}: {found} with {name} {value!r}; expected {wanted}")
    if isinstance(operation, Do):
        if operation.hook not in HOOKS:
            raise StrategyError(f"{place}: Do({operation.hook!r}): unknown hook; {_nearest(operation.hook, HOOKS)}")
        wanted_kind = _ARGUMENTS.get(operation.hook, Region)
        if not isinstance(operation.argument, wanted_kind):
            found = type(operation.argument).__name__
            raise StrategyError(f"{place}: Do({operation.hook!r}) with a {found}; expected a {wanted_kind.__name__}")


@functools.lru_cache
def _fields(kind: Any) -> dict[str, Any]:
    """The fields of an operation, each with its type or union of types."""
    hints = get_type_hints(kind)
    return {name: hints[name] for name in kind.__match_args__}


class _Checked(tuple[Operation, ...]):
    """A hook's answer that has been checked: handed on by the hook of a class below, it need not be again."""


class _Results(Generator[Operation, int | None, None]):
    """A hook's generator that must be told the result of each ``Load``.

    Unpacking it (``*super().emit(write)``) would drop the results and run on
    with made-up ones; ``yield from`` hands them through.
    """

    def __init__(self, inner: Generator[Operation, int | None, None], label: str, place: str) -> None:
        self._inner = inner
        self._label = label
        self._place = place
        self._loading = False

    def send(self, value: int | None) -> Operation:
        if self._loading and value is None:
            place = _caller(sys._getframe(1)) or "a helper"
            raise StrategyError(f"{place}: unpacks {self._label}, whose operations depend on results; write yield from")
        try:
            operation = next(self._inner) if value is None else self._inner.send(value)
        except StopIteration as end:
            if end.value is not None:
                kind = type(end.value).__name__
                raise StrategyError(
                    f"{self._place}: yields and also returns a {kind}, which is dropped; write yield from"
                ) from None
            raise
        self._loading = isinstance(operation, Load)
        return operation

    def throw(self, *arguments: Any) -> Operation:
        return self._inner.throw(*arguments)

    def close(self) -> None:
        self._inner.close()


def _caller(frame: FrameType | None) -> str | None:
    """``Class.hook, line N`` of the nearest hook above ``frame``, if there is one."""
    while frame is not None:
        if place := hook_at(frame, frame.f_lineno):
            return place
        frame = frame.f_back
    return None


def hook_at(frame: FrameType, line: int) -> str | None:
    """``Class.hook, line N`` if ``frame`` is that of a hook."""
    code, owner = frame.f_code, frame.f_locals.get("self")
    if code.co_name not in HOOKS or not isinstance(owner, Strategy):
        return None
    name = code.co_qualname.rpartition(".")[0].rpartition(".")[2] or type(owner).__name__
    return f"{_shown(code.co_filename)}{name}.{code.co_name}, line {line}"


for _hook in HOOKS:  # the base class's own hooks answer under the same rules
    setattr(Strategy, _hook, _checked(Strategy, _hook, vars(Strategy)[_hook]))
