"""Reading litmus tests of AArch64 in herd's format.

A file has a first line with the architecture and the name, lines of its header, the initial state in braces, a table
of programs, a column for each thread and for each fault handler, and a condition.  Every error names file, line and
column.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bench.litmus.condition import And, Condition, Constant, Fault, Is, Not, Or, Proposition, Quantifier, Reg, Where
from bench.litmus.instructions import Instruction, Target, UnknownError, read, word_of
from bench.litmus.tokens import Tokens, place
from bench.litmus.values import Code, Data, Value
from bench.support.errors import InputError

_MOST_CHARACTERS = 1 << 20
_MOST_THREADS = 8
_COMMENT = re.compile(r"\(\*.*?\*\)", re.DOTALL)
_HEADER = re.compile(r"\s*([A-Za-z]\w*)\s*=\s*(.*?)\s*")
_LABELS = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*:")
_COLUMN = re.compile(r"P(\d{1,2})(\.F)?")
_QUANTIFIED = re.compile(r"(?m)^[ \t]*(?:locations\b|filter\b|~?\s*exists\b|forall\b)|(?<=;)[ \t]*~?exists\b")


@dataclass(frozen=True)
class Test:
    """A test.

    ``header`` by key; ``registers`` and ``memory`` at the start; ``programs[thread]``, its fault handler behind it;
    ``ends[thread]``: where it ends, before the handler; ``labels[thread]`` by name; ``places`` of instructions (line
    and column); ``arrays``: the names of locations that are arrays, with their length.
    """

    __test__ = False  # pytest takes it for one of its own

    name: str
    file: str
    header: Mapping[str, str]
    registers: Mapping[Reg, Value]
    memory: Mapping[Data, Value]
    programs: tuple[tuple[Instruction, ...], ...]
    ends: tuple[int, ...]
    labels: tuple[Mapping[str, int], ...]
    places: Mapping[Code, str]
    condition: Condition
    arrays: Mapping[str, int]
    words: bool

    @property
    def cache_type(self) -> str:
        """The architecture that its header asks for.  Raises ``InputError`` for a header that is not known."""
        said = self.header.get("CacheType", "").lower().split()
        if not {*said} <= {"idc", "dic"}:
            found = f"CacheType={self.header['CacheType']}"
            raise InputError(found, file=self.file, expected="CacheType=IDC, DIC or both")
        return "armv8-dic" if "dic" in said else "armv8-idc" if said else "armv8"

    def target(self, at: Code, target: Target) -> Code:
        """Where a branch leads.  Raises ``InputError`` for a label that its thread does not have."""
        if not target.label:
            return Code(at.thread, at.at + target.distance)
        if target.label not in self.labels[at.thread]:
            raise InputError(
                f"no label {target.label!r} on P{at.thread}",
                file=self.file,
                place=self.places.get(at, ""),
                expected=f"one of {', '.join(self.labels[at.thread]) or 'none: it has no labels'}",
            )
        return Code(at.thread, self.labels[at.thread][target.label])


def read_litmus(text: str, file: str) -> Test:
    """The test in a text.  Raises ``InputError``."""
    if len(text) > _MOST_CHARACTERS:
        raise InputError(f"{len(text)} characters", file=file, expected=f"a litmus test of at most {_MOST_CHARACTERS}")
    return _Reader(text, file).test()


class _Reader:
    def __init__(self, text: str, file: str) -> None:
        self._file = file
        # A comment is as long in blanks, so that all places stay.
        self._text = _COMMENT.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
        self._labels: list[dict[str, int]] = []
        self._places: dict[Code, str] = {}
        self._arrays: dict[str, int] = {}

    def _refuse(self, at: int, found: str, expected: str) -> InputError:
        return InputError(found, file=self._file, place=place(self._text, at), expected=expected)

    def test(self) -> Test:
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
        return Test(
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
        words = first.split(None, 1)
        if not words or words[0] != "AArch64":
            raise self._refuse(0, f"found {words[0] if words else 'nothing'!r}", "a test of AArch64")
        if len(words) < 2:
            raise self._refuse(len(first), "no name", "AArch64 and the name of the test")
        header = {}
        for line in lines:
            if found := _HEADER.fullmatch(line):
                header[found[1]] = found[2]
        return words[1].strip(), header

    def _closing(self, begin: int) -> int:
        """The brace that closes the one at ``begin``."""
        depth = 0
        for found in re.finditer(r"[{}]", self._text[begin:]):
            depth += 1 if found[0] == "{" else -1
            if not depth:
                return begin + found.start()
        raise self._refuse(begin, "an initial state that does not end", "'}'")

    def _table_end(self, first: int) -> int:
        return max(first, self._text.rfind(";") + 1)

    # - programs

    def _table(self, first: int, last: int) -> tuple[tuple[tuple[Instruction, ...], ...], tuple[int, ...]]:
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
        programs: list[list[Instruction]] = [[] for _ in threads]
        self._labels = [{} for _ in threads]
        ends = [0] * len(threads)
        for handler in (False, True):  # a handler lies behind its program
            for number, (thread, is_handler) in enumerate(columns):
                if is_handler is handler:
                    if thread >= len(threads):
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

    def _cell(self, thread: int, program: list[Instruction], at: int, cell: str) -> None:
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
            instruction = read(" ".join(text.split()))
        except UnknownError as error:
            raise self._refuse(
                at,
                f"no form {text!r}" + (f" ({error})" if str(error) != text else ""),
                "an instruction that is known (docs/litmus.md)",
            ) from None
        self._places[Code(thread, len(program))] = place(self._text, at)
        program.append(instruction)

    # - initial state

    def _initial(self, tokens: Tokens) -> tuple[dict[Reg, Value], dict[Data, Value]]:
        registers: dict[Reg, Value] = {}
        memory: dict[Data, Value] = {}
        while tokens.peek().kind != "end":
            if tokens.took(";"):
                continue
            _skip_type(tokens)
            if tokens.peek().kind == "word" and tokens.peek(1).text == "[":
                self._array(tokens, memory)
            else:
                where = self._place(tokens)
                value = self._value(tokens) if tokens.took("=") else 0
                if isinstance(where, Reg):
                    registers[where] = value
                else:
                    memory[where] = value
            if tokens.peek().kind != "end":
                tokens.take(";")
        return registers, memory

    def _array(self, tokens: Tokens, memory: dict[Data, Value]) -> None:
        name = tokens.next().text
        tokens.take("[")
        self._arrays[name] = count = int(tokens.take_kind("number", "the length of an array").text, 0)
        tokens.take("]")
        if not 0 < count <= 64:
            tokens.refuse("an array of 1 to 64")
        if tokens.took("="):
            tokens.take("{")
            for number in range(count):
                if number:
                    tokens.take(",")
                memory[Data(name, 4 * number)] = self._value(tokens)
            tokens.take("}")

    def _place(self, tokens: Tokens) -> Reg | Data:
        """A register of a thread, or a location."""
        if tokens.peek().kind == "number":
            thread = tokens.next()
            tokens.take(":")
            register = tokens.take_kind("word", "a register")
            found = re.fullmatch(r"[XWxw](\d{1,2})", register.text)
            if not found or int(found[1]) > 30 or not 0 <= int(thread.text, 0) < len(self._labels):
                raise self._refuse(register.at, f"{thread.text}:{register.text}", "a register X0 .. X30 of a thread")
            return Reg(int(thread.text, 0), int(found[1]))
        bracket = tokens.took("[")
        name = tokens.take_kind("word", "a register or a location").text
        offset = 0
        if bracket and tokens.took("["):
            offset = 4 * int(tokens.take_kind("number", "an index").text, 0)
            tokens.take("]")
        if bracket:
            tokens.take("]")
        return Data(name, offset)

    def _value(self, tokens: Tokens) -> Value:
        token = tokens.next()
        if token.kind == "number":
            return int(token.text, 0) & 0xFFFF_FFFF_FFFF_FFFF
        if token.kind == "word":
            if token.text in ("instr", "label") and tokens.took(":"):
                quoted = tokens.take_kind("string", "a text in quotes")
                text = quoted.text.strip('"')
                try:
                    return word_of(text) if token.text == "instr" else self._label(*text.partition(":")[::2])
                except InputError as error:
                    raise self._refuse(quoted.at, f"{token.text}:{quoted.text}", str(error)) from None
            if re.fullmatch(r"P\d{1,2}", token.text) and tokens.took(":"):
                label = tokens.take_kind("word", "a label")
                try:
                    return self._label(token.text, label.text)
                except InputError as error:
                    raise self._refuse(label.at, f"{token.text}:{label.text}", str(error)) from None
            if token.text == "NOP":
                return word_of("NOP")
            return Data(token.text)
        raise self._refuse(token.at, f"found {token.text!r}", 'a number, a location, P0:label or instr:"..."')

    def _label(self, thread: str, label: str) -> Code:
        number = int(thread[1:]) if re.fullmatch(r"P\d{1,2}", thread) else len(self._labels)
        if number >= len(self._labels) or label not in self._labels[number]:
            raise InputError("a label that there is")
        return Code(number, self._labels[number][label])

    # - condition

    def _condition(self, tokens: Tokens) -> Condition:
        shown: list[Where] = []
        if tokens.took("locations"):
            tokens.take("[")
            while not tokens.took("]"):
                if tokens.took(";"):
                    continue
                where = self._fault(tokens) if tokens.peek().text == "fault" else self._place(tokens)
                tokens.took("*")
                if isinstance(where, Data) and where.name in self._arrays and not where.offset:
                    shown += [Data(where.name, 4 * number) for number in range(self._arrays[where.name])]
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

    def _either(self, tokens: Tokens) -> Proposition:
        found = self._both(tokens)
        while tokens.took("\\/"):
            found = Or(found, self._both(tokens))
        if tokens.took("=>"):
            return Or(Not(found), self._either(tokens))
        return found

    def _both(self, tokens: Tokens) -> Proposition:
        found = self._atom(tokens)
        while tokens.took("/\\"):
            found = And(found, self._atom(tokens))
        return found

    def _atom(self, tokens: Tokens) -> Proposition:
        if tokens.took("~") or tokens.took("not"):
            return Not(self._atom(tokens))
        if tokens.took("("):
            found = self._either(tokens)
            tokens.take(")")
            return found
        for word in ("true", "false"):
            if tokens.peek().text == word and tokens.peek(1).text != "=":
                tokens.next()
                return Constant(word == "true")
        if tokens.peek().text == "fault":
            return Is(self._fault(tokens), 1)
        where = self._place(tokens)
        tokens.take("=")
        return Is(where, self._value(tokens))

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


def _skip_type(tokens: Tokens) -> None:
    """The type of a declaration says nothing that is asked for here."""
    while tokens.peek().kind == "word" and (tokens.peek(1).kind in ("word", "number") or tokens.peek(1).text == "*"):
        tokens.next()
    tokens.took("*")
