"""The loops that are measured, in LLVM's language: each is a function of three 64-bit integers, the first the count."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from itertools import pairwise

from bench.silicon.instructions import InstructionSet
from bench.silicon.native import Native, compiled

SYNC_CORE, REGISTER_SYNC_CORE = 1 << 5, 1 << 6
"""MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, and the command that a process has to give once before."""

APART = 2048
"""Cycles between two stores to what another core executes."""

_LOOP = """
define i64 @{name}(i64 %n, i64 %a, i64 %b) {{
entry:
  %p = inttoptr i64 %a to ptr
  %q = inttoptr i64 %b to ptr
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %last ]
  %v = phi i64 [ {start}, %entry ], [ {value}, %last ]
  {body}
  br label %last
last:
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret i64 {value}
}}
"""

# Until another thread stores to @stop: what `work` does, counted at @count.
_UNTIL = """
define i64 @{name}(i64 %n, i64 %a, i64 %b) {{
entry:
  %p = inttoptr i64 %a to ptr
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  {work}
  %next = add i64 %i, 1
  store atomic i64 %next, ptr @count monotonic, align 8
  %now = load atomic i64, ptr @stop monotonic, align 8
  %on = icmp eq i64 %now, 0
  br i1 %on, label %loop, label %done
done:
  ret i64 %next
}}
"""

_DECLARED = """
@stop = global i64 0
@count = global i64 0
@arrived = global i64 0
@released = global i64 0
@resumed = global i64 0
declare i64 @syscall(i64, ...)
declare i32 @mprotect(ptr, i64, i32)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
define i64 @begin(i64 %n, i64 %a, i64 %b) {
  store atomic i64 0, ptr @stop seq_cst, align 8
  store atomic i64 0, ptr @count seq_cst, align 8
  ret i64 0
}
define i64 @end(i64 %n, i64 %a, i64 %b) {
  store atomic i64 1, ptr @stop seq_cst, align 8
  ret i64 0
}
define i64 @counted(i64 %n, i64 %a, i64 %b) {
  %v = load atomic i64, ptr @count seq_cst, align 8
  ret i64 %v
}
; Waits until the word at %p is not 0.
define void @await(ptr %p) {
entry:
  br label %loop
loop:
  %v = load atomic i64, ptr %p acquire, align 8
  %on = icmp eq i64 %v, 0
  br i1 %on, label %loop, label %done
done:
  ret void
}
; A signal handler: says that it is here, waits to be released, and says that it goes on.
define i64 @stopped(i64 %n, i64 %a, i64 %b) {
  store atomic i64 1, ptr @arrived seq_cst, align 8
  call void @await(ptr @released)
  store atomic i64 1, ptr @resumed seq_cst, align 8
  ret i64 0
}
"""

_LOCKED = "%l = call i32 @pthread_mutex_lock(ptr %p)\n%u = call i32 @pthread_mutex_unlock(ptr %p)"
_READ = "%r = load volatile i64, ptr %p"
_PATCH = "%t = trunc i64 %i to i8\n%o = and i8 %t, 1\nstore volatile i8 %o, ptr %p"
_THROUGH_MEMORY = """%m = and i64 %i, 4095
  %e = getelementptr i64, ptr %p, i64 %m
  %f = load i64, ptr %e
  %g = inttoptr i64 %f to ptr
  %r = call i32 %g()"""
# %a: the thread; %b: the signal
_STOP = """store atomic i64 0, ptr @arrived seq_cst, align 8
  store atomic i64 0, ptr @released seq_cst, align 8
  store atomic i64 0, ptr @resumed seq_cst, align 8
  %s = call i64 (i64, ...) @syscall(i64 {tgkill}, i64 {process}, i64 %a, i64 %b)
  call void @await(ptr @arrived)
  store atomic i64 1, ptr @released seq_cst, align 8
  call void @await(ptr @resumed)"""
# A store to a line that another core has had the time to fetch since the one before, and is done when the loop goes on.
_PATCH_APART = f"""%d = call i64 asm sideeffect "
    .rept {APART}
    {{chain}}
    .endr", "=r,0,r"(i64 %i, i64 0)
  {_PATCH}
  fence seq_cst"""
_PROTECT = f"""%w = call i32 @mprotect(ptr %p, i64 4096, i32 3)
  {_PATCH}
  %x = call i32 @mprotect(ptr %p, i64 4096, i32 5)"""


def _loop(name: str, body: str) -> str:
    return _LOOP.format(name=name, body=body, start=0, value="%v")


def _dependent(name: str, step: str, start: str, times: int) -> str:
    """A loop of ``times`` steps, each of which makes ``{new}`` from ``{old}``."""
    values = ["%v", *(f"%w{number}" for number in range(times))]
    steps = (step.format(old=old, new=new, k=k) for k, (old, new) in enumerate(pairwise(values)))
    return _LOOP.format(name=name, body="\n  ".join(steps), start=start, value=values[-1])


CHAIN, LOADS = 64, 16
"""The steps in one round of ``chain`` and of ``load``."""


@functools.cache
def loops(instructions: InstructionSet, process: int) -> dict[str, Native]:
    """All loops by name, compiled; ``process``: the number of the process that they run in."""
    chain = f'{{new}} = call i64 asm sideeffect "{instructions.chain}", "=r,0,r"(i64 {{old}}, i64 %b)'
    load = "%c{k} = inttoptr i64 {old} to ptr\n  {new} = load volatile i64, ptr %c{k}"
    bodies = {
        "empty": 'call void asm sideeffect "", ""()',
        "store": "store volatile i64 %i, ptr %p",
        "atomic": "%r = atomicrmw add ptr %p, i64 1 seq_cst",
        "read": _READ,
        "barrier": f"fence seq_cst\n  {_READ}",
        "sync": f'call void asm sideeffect "{instructions.sync}", "{instructions.sync_changes}"()',
        "call": "%r = call i32 %q()",
        "patch": _PATCH,
        "patch_apart": _PATCH_APART.format(chain=instructions.chain),
        "patch_and_call": f"{_PATCH}\n  %r = call i32 %q()",
        "call_through_memory": _THROUGH_MEMORY,
        "flush": "call void @flush_lines(i64 %a, i64 %b)",
        "lock": _LOCKED,
        "protect": _PROTECT,
        "membarrier": f"%r = call i64 (i64, ...) @syscall(i64 {instructions.membarrier}, i64 %a, i64 0, i64 0)",
        "stop_other": _STOP.format(tgkill=instructions.tgkill, process=process),
    }
    until = {"call_until": "%r = call i32 %p()", "lock_until": _LOCKED}
    text = "\n".join(
        (
            _DECLARED,
            instructions.flush,
            _dependent("chain", chain, "0", CHAIN),
            _dependent("load", load, "%a", LOADS),
            *(_loop(name, body) for name, body in bodies.items()),
            *(_UNTIL.format(name=name, work=work) for name, work in until.items()),
        )
    )
    return compiled(text, ("begin", "end", "counted", "stopped", "chain", "load", *bodies, *until), 3)


def run(loop: Native, a: int = 0, b: int = 0) -> Callable[[int], object]:
    """A loop with its two arguments given."""
    return lambda count: loop(count, a, b)


def register_membarrier(instructions: InstructionSet) -> None:
    """Let this process use ``membarrier`` with SYNC_CORE.  Raises ``OSError`` where the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(instructions.membarrier, REGISTER_SYNC_CORE, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "the kernel refuses membarrier with SYNC_CORE")
