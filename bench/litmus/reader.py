"""The parser of AArch64 litmus tests in herd's format.

A file has a first line with architecture and name, header lines, the initial state in braces, a table of programs (a
column for each thread and for each fault handler), and a condition.  Every error names file, line and column.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.litmus.condition import (
    And,
    Condition,
    Constant,
    Equals,
    Fault,
    Not,
    Observable,
    Or,
    Proposition,
    Quantifier,
    ThreadRegister,
    observable_text,
)
from bench.litmus.instructions import LabelOperand, LitmusInstruction, UnknownInstructionError, assemble, parse
from bench.litmus.tokens import Tokens, place
from bench.litmus.values import CodeAddress, DataAddress, LitmusValue
from bench.support.errors import InputError

_MOST_CHARACTERS = 1 << 20
_MOST_THREADS = 8
_DEEPEST = 100
_COMMENT = re.compile(r"\(\*.*?\*\)", re.DOTALL)
_HEADER = re.compile(r"\s*([A-Za-z]\w*)\s*=\s*(.*?)\s*")
_LABELS = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*:")
_COLUMN = re.compile(r"P(\d{1,2})(\.F)?")
_QUANTIFIED = re.compile(r"(?m)^[ \t]*(?:locations\b|filter\b|~?\s*exists\b|forall\b)|(?<=;)[ \t]*~?exists\b")


@dataclass(frozen=True)
class LitmusTest:
    """A litmus test.

    ``header`` by key; initial ``registers`` and ``memory``; ``programs[thread]``, followed by its fault handler;
    ``ends[thread]``: the end of the program, before the handler; ``labels[thread]`` by name; ``places``: line and
    column of each instruction; ``arrays``: the length of each location that is an array; ``words``: final states show
    instruction words as numbers.
    """

    name: str
    file: str
    header: Mapping[str, str]
    registers: Mapping[ThreadRegister, LitmusValue]
    memory: Mapping[DataAddress, LitmusValue]
    programs: tuple[tuple[LitmusInstruction, ...], ...]
    ends: tuple[int, ...]
    labels: tuple[Mapping[str, int], ...]
    places: Mapping[CodeAddress, str]
    condition: Condition
    arrays: Mapping[str, int]
    words: bool

    @property
    def cache_type(self) -> str:
        """The architecture that the header's CacheType names.  Raises ``InputError`` for an unknown one."""
        said = self.header.get("CacheType", "").lower().split()
        if not {*said} <= {"idc", "dic"}:
            found = f"CacheType={self.header['CacheType']}"
            raise InputError(found, file=self.file, expected="CacheType=IDC, DIC or both")
        return "armv8-dic" if "dic" in said else "armv8-idc" if said else "armv8"

    def target(self, at: CodeAddress, target: LabelOperand) -> CodeAddress:
        """The address of a branch target.  Raises ``InputError`` for a label that the thread does not have."""
        if not target.label:
            return CodeAddress(at.thread, at.at + target.distance)
        if target.label not in self.labels[at.thread]:
            raise InputError(
                f"no label {target.label!r} on P{at.thread}",
                file=self.file,
                place=self.places.get(at, ""),
                expected=f"one of {', '.join(self.labels[at.thread]) or 'none: it has no labels'}",
            )
        return CodeAddress(at.thread, self.labels[at.thread][target.label])


def read_litmus(text: str, file: str) -> LitmusTest:
    """Parse a test.  Raises ``InputError``."""
    if len(text) > _MOST_CHARACTERS:
        raise InputError(f"{len(text)} characters", file=file, expected=f"a litmus test of at most {_MOST_CHARACTERS}")
    return _Reader(text, file).test()


class _Reader:
    def __init__(self, text: str, file: str) -> None:
        self._file = file
        # Blanks replace comments, so that line and column of the rest stay.
        self._text = _COMMENT.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
        self._labels: list[dict[str, int]] = []
        self._places: dict[CodeAddress, str] = {}
        self._arrays: dict[str, int] = {}

    def _refuse(self, at: int, found: str, expected: str) -> InputError:
        return InputError(found, file=self._file, place=place(self._text, at), expected=expected)

    def test(self) -> LitmusTest:
        text = self._text
        begin = text.find("{")
        if begin < 0:
            raise self._refuse(len(text), "no initial state", "{ ... } after the header")
        name, header = self._header(text[:begin])
        end = self._closing(begin)
        found = _QUANTIFIED.search(text, end)
        last = found.start() if found else self._table_end(end + 1)
        programs, ends = self._table(end + 1, last)
        registers, memory = self._initial(Tokens(text, begin + 1, end, self._file))
        condition = self._condition(Tokens(text, last, len(text), self._file))
        return LitmusTest(
            name,
            self._file,
            header,
            registers,
            memory,
            programs,
            ends,
            tuple(self._labels),
            self._places,
            condition,
            self._arrays,
            words=not re.search(r'instr:"|=\s*NOP\b', text),
        )

    def _header(self, text: str) -> tuple[str, dict[str, str]]:
        first, *lines = text.split("\n")
        fields = first.split(None, 1)
        if not fields or fields[0] != "AArch64":
            raise self._refuse(0, f"found {fields[0] if fields else 'nothing'!r}", "a test of AArch64")
        if len(fields) < 2:
            raise self._refuse(len(first), "no name", "AArch64 and the name of the test")
        header = {}
        for line in lines:
            if found := _HEADER.fullmatch(line):
                header[found[1]] = found[2]
        return fields[1].strip(), header

    def _closing(self, begin: int) -> int:
        """The position of the brace that closes the one at ``begin``."""
        depth = 0
        for found in re.finditer(r"[{}]", self._text[begin:]):
            depth += 1 if found[0] == "{" else -1
            if not depth:
                return begin + found.start()
        raise self._refuse(begin, "an initial state that does not end", "'}'")

    def _table_end(self, first: int) -> int:
        return max(first, self._text.rfind(";") + 1)

    # - programs

    def _table(self, first: int, last: int) -> tuple[tuple[tuple[LitmusInstruction, ...], ...], tuple[int, ...]]:
        rows: list[list[tuple[int, str]]] = []
        at = first
        for row in self._text[first:last].split(";")[:-1]:
            cells, inside = [], at
            for cell in row.split("|"):
                cells.append((inside, cell))
                inside += len(cell) + 1
            rows.append(cells)
            at += len(row) + 1
        if rest := self._text[at:last].strip():
            raise self._refuse(
                at + self._text[at:last].index(rest[0]), f"found {rest.split()[0]!r}", "';' behind each row"
            )
        if not rows:
            raise self._refuse(first, "no programs", "P0 | ... ;")
        columns = [self._column(*cell) for cell in rows[0]]
        threads = [thread for thread, handler in columns if not handler]
        if threads != list(range(len(threads))) or len(threads) > _MOST_THREADS or not threads:
            raise self._refuse(rows[0][0][0], f"threads {threads}", f"P0, P1, ... in order, at most {_MOST_THREADS}")
        programs: list[list[LitmusInstruction]] = [[] for _ in threads]
        self._labels = [{} for _ in threads]
        ends = [0] * len(threads)
        for handler in (False, True):  # a handler follows its program
            for number, (thread, is_handler) in enumerate(columns):
                if is_handler is handler:
                    if thread not in threads:
                        raise self._refuse(
                            rows[0][number][0], f"a handler of P{thread}", "one of a thread that there is"
                        )
                    for cells in rows[1:]:
                        if len(cells) > len(columns):
                            raise self._refuse(cells[len(columns)][0], "one column more", f"{len(columns)} of them")
                        if number < len(cells):
                            self._cell(thread, programs[thread], *cells[number])
                    if not handler:
                        ends[thread] = len(programs[thread])
        return tuple(map(tuple, programs)), tuple(ends)

    def _column(self, at: int, cell: str) -> tuple[int, bool]:
        found = _COLUMN.fullmatch(cell.strip())
        if not found:
            raise self._refuse(at + len(cell) - len(cell.lstrip()), f"found {cell.strip()!r}", "P0, or P0.F")
        return int(found[1]), bool(found[2])

    def _cell(self, thread: int, program: list[LitmusInstruction], at: int, cell: str) -> None:
        while label := _LABELS.match(cell):
            if label[1] in self._labels[thread]:
                raise self._refuse(at + label.start(1), f"label {label[1]!r} twice on P{thread}", "a label once")
            self._labels[thread][label[1]] = len(program)
            at, cell = at + label.end(), cell[label.end() :]
        text = cell.strip()
        if not text:
            return
        at += len(cell) - len(cell.lstrip())
        try:
            instruction = parse(" ".join(text.split()))
        except UnknownInstructionError as error:
            raise self._refuse(
                at,
                f"no form {text!r}" + (f" ({error})" if str(error) != text else ""),
                "an instruction that is known (docs/litmus.md)",
            ) from None
        self._places[CodeAddress(thread, len(program))] = place(self._text, at)
        program.append(instruction)

    # - initial state

    def _initial(self, tokens: Tokens) -> tuple[dict[ThreadRegister, LitmusValue], dict[DataAddress, LitmusValue]]:
        registers: dict[ThreadRegister, LitmusValue] = {}
        memory: dict[DataAddress, LitmusValue] = {}
        while tokens.peek().kind != "end":
            if tokens.took(";"):
                continue
            _skip_type(tokens)
            if tokens.peek().kind == "word" and tokens.peek(1).text == "[":
                self._array(tokens, memory)
            else:
                at = tokens.peek().at
                where = self._place(tokens)
                value = self._value(tokens) if tokens.took("=") else 0
                if where in registers or where in memory:
                    raise self._refuse(at, f"{observable_text(where)} twice", "an initial value once")
                if isinstance(where, ThreadRegister):
                    registers[where] = value
                else:
                    memory[where] = value
            if tokens.peek().kind != "end":
                tokens.take(";")
        return registers, memory

    def _array(self, tokens: Tokens, memory: dict[DataAddress, LitmusValue]) -> None:
        name = tokens.next().text
        tokens.take("[")
        self._arrays[name] = count = tokens.take_number("the length of an array", 1, 64)
        tokens.take("]")
        if tokens.took("="):
            tokens.take("{")
            for number in range(count):
                if number:
                    tokens.take(",")
                memory[DataAddress(name, 4 * number)] = self._value(tokens)
            tokens.take("}")

    def _place(self, tokens: Tokens) -> ThreadRegister | DataAddress:
        """Parse a register of a thread, or a location."""
        if tokens.peek().kind == "number":
            thread = tokens.take_number("a thread", 0, len(self._labels) - 1)
            tokens.take(":")
            register = tokens.take_kind("word", "a register")
            found = re.fullmatch(r"[XWxw](\d{1,2})", register.text)
            if not found or int(found[1]) > 30:
                raise self._refuse(register.at, f"{thread}:{register.text}", "a register X0 .. X30 of a thread")
            return ThreadRegister(thread, int(found[1]))
        bracket = tokens.took("[")
        name = tokens.take_kind("word", "a register or a location").text
        offset = 0
        if bracket and tokens.took("["):
            offset = 4 * tokens.take_number("an index", 0, 63)
            tokens.take("]")
        if bracket:
            tokens.take("]")
        return DataAddress(name, offset)

    def _value(self, tokens: Tokens) -> LitmusValue:
        if tokens.peek().kind == "number":
            return tokens.take_number("a number", -1 << 63, (1 << 64) - 1) & 0xFFFF_FFFF_FFFF_FFFF
        token = tokens.next()
        if token.kind == "word":
            thread = re.fullmatch(r"P\d{1,2}", token.text)
            if (thread or token.text in ("instr", "label")) and tokens.took(":"):
                kind, expected = ("word", "a label") if thread else ("string", "a text in quotes")
                said = tokens.take_kind(kind, expected)
                text = said.text.strip('"')
                try:
                    if token.text == "instr":
                        return assemble(text)
                    return self._label(token.text, text) if thread else self._label(*text.partition(":")[::2])
                except InputError as error:
                    raise self._refuse(said.at, f"{token.text}:{said.text}", str(error)) from None
            if token.text == "NOP":
                return assemble("NOP")
            return DataAddress(token.text)
        raise self._refuse(token.at, f"found {token.text!r}", 'a number, a location, P0:label or instr:"..."')

    def _label(self, thread: str, label: str) -> CodeAddress:
        number = int(thread[1:]) if re.fullmatch(r"P\d{1,2}", thread) else len(self._labels)
        if number >= len(self._labels) or label not in self._labels[number]:
            raise InputError("a label that there is")
        return CodeAddress(number, self._labels[number][label])

    # - condition

    def _condition(self, tokens: Tokens) -> Condition:
        shown: list[Observable] = []
        if tokens.took("locations"):
            tokens.take("[")
            while not tokens.took("]"):
                if tokens.took(";"):
                    continue
                where = self._fault(tokens) if tokens.peek().text == "fault" else self._place(tokens)
                tokens.took("*")
                if isinstance(where, DataAddress) and where.name in self._arrays and not where.offset:
                    shown += [DataAddress(where.name, 4 * number) for number in range(self._arrays[where.name])]
                else:
                    shown.append(where)
            tokens.took(";")
        if tokens.took("filter"):
            tokens.refuse("a condition without a filter")
        if tokens.peek().kind == "end":
            return Condition("forall", Constant(True), tuple(shown))
        quantifier: Quantifier
        if tokens.took("~"):
            tokens.take("exists")
            quantifier = "~exists"
        elif tokens.took("forall"):
            quantifier = "forall"
        else:
            tokens.take("exists")
            quantifier = "exists"
        proposition = self._either(tokens)
        if tokens.peek().kind != "end":
            tokens.refuse(r"/\ or \/, or the end")
        return Condition(quantifier, proposition, tuple(shown))

    def _either(self, tokens: Tokens, depth: int = 0) -> Proposition:
        parts = [self._both(tokens, depth)]
        while tokens.took("\\/"):
            parts.append(self._both(tokens, depth))
        found = _joined(Or, parts)
        if tokens.took("=>"):
            return Or(Not(found), self._either(tokens, self._deeper(tokens, depth)))
        return found

    def _both(self, tokens: Tokens, depth: int) -> Proposition:
        parts = [self._atom(tokens, depth)]
        while tokens.took("/\\"):
            parts.append(self._atom(tokens, depth))
        return _joined(And, parts)

    def _deeper(self, tokens: Tokens, depth: int) -> int:
        if depth == _DEEPEST:
            tokens.refuse(f"at most {_DEEPEST} levels of brackets, negations and implications")
        return depth + 1

    def _atom(self, tokens: Tokens, depth: int) -> Proposition:
        if tokens.took("~") or tokens.took("not"):
            return Not(self._atom(tokens, self._deeper(tokens, depth)))
        if tokens.took("("):
            found = self._either(tokens, self._deeper(tokens, depth))
            tokens.take(")")
            return found
        for word in ("true", "false"):
            if tokens.peek().text == word and tokens.peek(1).text != "=":
                tokens.next()
                return Constant(word == "true")
        if tokens.peek().text == "fault":
            return Equals(self._fault(tokens), 1)
        where = self._place(tokens)
        tokens.take("=")
        return Equals(where, self._value(tokens))

    def _fault(self, tokens: Tokens) -> Fault:
        tokens.take("fault")
        tokens.take("(")
        thread = tokens.take_kind("word", "a thread")
        if not re.fullmatch(r"P\d{1,2}", thread.text):
            raise self._refuse(thread.at, f"found {thread.text!r}", "a thread, as P0")
        label = tokens.take_kind("word", "a label").text if tokens.took(":") else ""
        while tokens.took(","):
            tokens.next()
        tokens.take(")")
        return Fault(int(thread.text[1:]), label)


def _joined(kind: Callable[[Proposition, Proposition], Proposition], parts: Sequence[Proposition]) -> Proposition:
    """The parts joined as a tree of little depth, which means the same, and is written the same, as a long one."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return kind(_joined(kind, parts[:middle]), _joined(kind, parts[middle:]))


def _skip_type(tokens: Tokens) -> None:
    """Skip the type of a declaration, which has no effect here."""
    while tokens.peek().kind == "word" and (tokens.peek(1).kind in ("word", "number") or tokens.peek(1).text == "*"):
        tokens.next()
    tokens.took("*")
