"""Lines arrive whole, in order, in the file that the path names now, and a sink that fails says so."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxy.observe.sink import LineSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[3]


def test_lines_are_appended_in_order_to_what_is_there(tmp_path: Path) -> None:
    """A line goes after those that the file already holds, and the file is not open to the world."""
    file = tmp_path / "audit.log"
    sink = LineSink(str(file))
    assert sink.append([b"one\n", b"two\n"]) == 2
    again = LineSink(str(file))
    assert again.append([b"three\n"]) == 1
    assert file.read_bytes() == b"one\ntwo\nthree\n"
    assert file.stat().st_mode & 0o007 == 0
    sink.close()
    again.close()


def test_a_full_device_takes_nothing_and_says_so() -> None:
    """`/dev/full` answers every write with ENOSPC; none of the lines counts as written."""
    sink = LineSink("/dev/full")
    sink.check()
    assert sink.append([b"one\n", b"two\n"]) == 0
    assert sink.append([b"one\n"]) == 0
    sink.close()


def test_check_refuses_a_path_that_cannot_be_had(tmp_path: Path) -> None:
    """A start with an audit path in a folder that is not there fails at once."""
    with pytest.raises(FileNotFoundError):
        LineSink(str(tmp_path / "absent" / "audit.log")).check()


def test_a_moved_file_is_opened_anew(tmp_path: Path) -> None:
    """After logrotate has moved the file, lines go to a new one under the old name."""
    file = tmp_path / "audit.log"
    sink = LineSink(str(file), rotation_seconds=0)
    sink.append([b"old\n"])
    file.rename(tmp_path / "audit.log.1")
    sink.append([b"new\n"])
    file.unlink()
    sink.append([b"newer\n"])
    assert (tmp_path / "audit.log.1").read_bytes() == b"old\n"
    assert file.read_bytes() == b"newer\n"
    sink.close()


def test_reopen_finds_a_moved_file_at_once(tmp_path: Path) -> None:
    """After SIGHUP nobody waits for the next look at the path."""
    file = tmp_path / "audit.log"
    sink = LineSink(str(file), rotation_seconds=3600)
    sink.append([b"old\n"])
    file.rename(tmp_path / "audit.log.1")
    sink.append([b"still old\n"])
    sink.reopen()
    sink.append([b"new\n"])
    assert file.read_bytes() == b"new\n"
    sink.close()


@contextmanager
def limited_files() -> Iterator[Callable[[int], None]]:
    """Gives what sets the size at which the kernel cuts this process' writes short, as a full disk does.

    Not a fixture: pytest reports a test before it ends its fixtures, and its own output may be a file.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_line_cut_short_is_taken_back(tmp_path: Path) -> None:
    """A disk that fills within a line keeps the whole lines before it and no fragment; with room again the line follows."""
    with limited_files() as file_limit:
        file = tmp_path / "audit.log"
        sink = LineSink(str(file))
        file_limit(15)
        assert sink.append([b"12345678\n", b"abcdefgh\n", b"third\n"]) == 1
        assert file.read_bytes() == b"12345678\n"
        file_limit(1000)
        assert sink.append([b"abcdefgh\n"]) == 1
        assert file.read_bytes() == b"12345678\nabcdefgh\n"
        sink.close()


def test_a_reader_of_a_pipe_gets_whole_lines_and_a_stalled_one_holds_nobody(tmp_path: Path) -> None:
    """A FIFO without a reader fails, with one it takes lines until it is full, and takes the rest once it is emptied."""
    fifo = tmp_path / "audit.fifo"
    os.mkfifo(fifo)
    sink = LineSink(str(fifo))
    assert sink.append([b"nobody reads\n"]) == 0
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    lines = [b"%06d" % number + b"x" * 900 + b"\n" for number in range(200)]
    done = sink.append(lines)
    assert 0 < done < 200
    got = os.read(reader, 1 << 20)
    assert sink.append(lines[done : done + 10]) == 10
    got += os.read(reader, 1 << 20)
    assert got == b"".join(lines[: done + 10])
    os.close(reader)
    assert sink.append([b"reader gone\n"]) == 0
    sink.close()


def test_a_line_torn_by_a_full_pipe_is_written_again_on_a_line_of_its_own(tmp_path: Path) -> None:
    """A line too long for the room in a pipe leaves a fragment, which ends before the line comes whole."""
    fifo = tmp_path / "audit.fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    sink = LineSink(str(fifo))
    long = b"y" * 50_000 + b"\n"
    assert sink.append([long, long]) == 1
    got = os.read(reader, 1 << 20)
    assert sink.append([long]) == 1
    got += os.read(reader, 1 << 20)
    assert got.startswith(long)
    assert got.endswith(b"\n" + long)
    os.close(reader)
    sink.close()


def test_standard_output_takes_lines() -> None:
    """`-` writes to standard output."""
    program = (
        "from proxy.observe.sink import LineSink\n"
        "sink = LineSink('-'); print(sink.append([b'one\\n', b'two\\n']), file=__import__('sys').stderr); sink.close()"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=True, timeout=30)
    assert done.stdout == b"one\ntwo\n"
    assert done.stderr == b"2\n"


def test_two_processes_never_mix_their_lines(tmp_path: Path) -> None:
    """Two writers of one file, batches and single lines, leave only whole lines, all of them, each writer's in order."""
    file = tmp_path / "audit.log"
    program = (
        "import sys\nfrom proxy.observe.sink import LineSink\n"
        "sink = LineSink(sys.argv[1]); name = sys.argv[2].encode()\n"
        "sys.stdin.read(1)\n"
        "for n in range(500):\n"
        "    lines = [name + b' %d.%d ' % (n, k) + name * 700 + b'\\n' for k in range(1 + n % 5)]\n"
        "    assert sink.append(lines) == len(lines)\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(file), name], cwd=ROOT, stdin=subprocess.PIPE) for name in "ab"
    ]
    for writer in writers:
        threading.Thread(target=writer.communicate, args=(b"g",)).start()
    assert [writer.wait(60) for writer in writers] == [0, 0]
    seen: dict[bytes, list[bytes]] = {b"a": [], b"b": []}
    for line in file.read_bytes().splitlines():
        name, place, filling = line.split(b" ")
        assert filling == name * 700
        seen[name].append(place)
    expected = [b"%d.%d" % (n, k) for n in range(500) for k in range(1 + n % 5)]
    assert seen == {b"a": expected, b"b": expected}


class OvertakenSink(LineSink):
    """A sink whose neighbour writes between its short write and its look at what became of it."""

    def _take_back(self, fragment: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        neighbour = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        os.write(neighbour, b"neighbour\n")
        os.close(neighbour)
        super()._take_back(fragment)


def test_a_fragment_that_cannot_be_taken_back_ends_before_the_next_line(tmp_path: Path) -> None:
    """Where another wrote after the fragment nothing of theirs is cut off, and our line begins on a line of its own."""
    with limited_files() as file_limit:
        file = tmp_path / "audit.log"
        sink = OvertakenSink(str(file))
        file_limit(12)
        assert sink.append([b"12345678\n", b"abcdefgh\n"]) == 1
        assert file.read_bytes() == b"12345678\nabcneighbour\n"
        assert sink.append([b"abcdefgh\n"]) == 1
        assert sink.append([b"next\n"]) == 1
        assert file.read_bytes() == b"12345678\nabcneighbour\n\nabcdefgh\nnext\n"
        sink.close()


def test_errors_are_those_of_the_system() -> None:
    """The device used above really answers as a full disk does."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space left") as caught:
        os.write(descriptor, b"x")
    os.close(descriptor)
    assert caught.value.errno == errno.ENOSPC


def test_a_file_that_ends_within_a_line_gets_a_line_feed_first(tmp_path: Path) -> None:
    """After a power cut the first new line is not glued to the last old one."""
    file = tmp_path / "audit.log"
    file.write_bytes(b"whole\nfragm")
    sink = LineSink(str(file))
    assert sink.append([b"new\n"]) == 1
    assert file.read_bytes() == b"whole\nfragm\nnew\n"
    sink.close()
