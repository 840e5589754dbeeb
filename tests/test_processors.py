"""Work in forked processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.support import processors
from bench.support.errors import InputError
from bench.support.processors import beside, each

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked elsewhere")


@pytest.fixture(autouse=True)
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one processor nothing is forked."""
    monkeypatch.setattr(processors, "processors", lambda: 2)


def test_each_is_in_order() -> None:
    this = os.getpid()
    assert list(each(lambda number: (number, os.getpid() == this), range(20))) == [(n, False) for n in range(20)]


def test_work_beside_is_done_in_another_process_at_once_and_once(tmp_path: Path) -> None:
    done = tmp_path / "done"
    os.mkfifo(done)

    def work() -> int:
        done.write_text("done")  # waits for the reader
        return os.getpid()

    found = beside(work)
    assert done.read_text() == "done"
    assert found() == found() != os.getpid()


def test_what_work_beside_raises_is_raised_where_it_is_asked_for() -> None:
    def work() -> None:
        raise InputError("3", place="host.cores", expected="2")

    found = beside(work)
    for _ in range(2):
        with pytest.raises(InputError, match=r"host\.cores.*3.*expected 2"):
            found()


def test_work_beside_that_is_killed_is_done_here() -> None:
    this = os.getpid()

    def work() -> int:
        if os.getpid() != this:
            os.kill(os.getpid(), signal.SIGKILL)
        return os.getpid()

    assert beside(work)() == this


def test_a_process_that_was_forked_later_does_the_work_itself() -> None:
    found = beside(os.getpid)
    inside = list(each(lambda _: (found(), os.getpid()), range(4)))
    assert all(one == other for one, other in inside)
    assert found() not in (os.getpid(), *(one for one, _ in inside))


def test_work_that_does_not_pay_is_done_here_when_it_is_asked_for() -> None:
    asked: list[int] = []
    found = beside(lambda: asked.append(os.getpid()), pays=False)
    assert not asked
    found()
    found()
    assert asked == [os.getpid()]


def test_work_that_nobody_asks_for_ends_with_the_process(tmp_path: Path) -> None:
    code = (
        "import os, time\n"
        "from bench.support import processors\n"
        "processors.processors = lambda: 2\n"
        f"os.mkfifo({str(tmp_path / 'begun')!r})\n"
        "def work():\n"
        f"    open({str(tmp_path / 'begun')!r}, 'w').write(str(os.getpid()))\n"
        "    time.sleep(600)\n"
        "found = processors.beside(work)\n"
        f"print(open({str(tmp_path / 'begun')!r}).read())\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    with pytest.raises(ProcessLookupError):
        os.kill(int(ran.stdout), 0)
