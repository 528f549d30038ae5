"""Where audit lines go: an append-only file, a pipe, or standard output.

A line arrives whole or not at all: one `write` on an `O_APPEND` descriptor, so that several workers share a file; on a pipe
this holds for lines up to PIPE_BUF (4096 bytes). What a full disk cut short is taken back. A rotated file is opened anew.
A pipe that nobody empties is a failure, never a wait.
"""

from __future__ import annotations

import os
import select
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

# without O_NONBLOCK a pipe that nobody reads would hold the event loop
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
_MODE: Final = 0o640  # the group of the log shipper may read


class LineSink:
    """Appends lines to `path`, `-` for standard output. Opens on first use; after any failure it opens again by itself."""

    def __init__(self, path: str, rotation_seconds: float = 1.0) -> None:
        """`rotation_seconds` is how often the path is compared with what is open."""
        self._path = path
        self._rotation_seconds = rotation_seconds
        self._file = -1
        self._identity = (0, 0)  # device and inode of what is open
        self._is_regular = False
        self._looked_at = 0.0
        self._torn = False  # the file ends within a line that could not be taken back

    def append(self, lines: list[bytes]) -> int:
        """Write lines, each with its line feed, in order. Returns how many are in the sink; fewer than given means failure."""
        try:
            self._open_current()
            if self._is_regular:
                return self._append_to_file(lines)
            return self._append_to_pipe(lines)
        except OSError:
            self.close()
            return 0

    def check(self) -> None:
        """Open the sink now. Raises OSError, so that a start with a sink that cannot be had fails."""
        self._open_current()

    def reopen(self) -> None:
        """Open anew on the next write: after SIGHUP."""
        self.close()

    def close(self) -> None:
        """Close the descriptor; lines are with the kernel already."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open_current(self) -> None:
        """Have the file open that the path names now (looked at once a second)."""
        now = time.monotonic()
        if self._file >= 0 and (self._path == "-" or now - self._looked_at < self._rotation_seconds):
            return
        self._looked_at = now
        if self._file >= 0:
            if self._identity == _identity_of(self._path):
                return
            self.close()
        self._file = _open_standard_output() if self._path == "-" else os.open(self._path, _FLAGS | os.O_CREAT, _MODE)
        status = os.fstat(self._file)
        self._is_regular = stat.S_ISREG(status.st_mode)
        if self._is_regular:
            self._torn = _ends_within_a_line(self._file)
        elif self._identity != (status.st_dev, status.st_ino):
            self._torn = False
        self._identity = (status.st_dev, status.st_ino)

    def _append_to_file(self, lines: list[bytes]) -> int:
        data = b"".join(lines)
        if self._torn:
            data = b"\n" + data
        written = os.write(self._file, data)
        if written == len(data):
            self._torn = False
            return len(lines)
        whole, fragment = _whole_lines(lines, written - self._torn)
        if whole:
            self._torn = False
        if fragment:
            self._take_back(fragment)
        return whole

    def _take_back(self, fragment: int) -> None:
        """Cut off the start of a line that did not fit, if nobody wrote after it; else the next line begins with a line feed."""
        self._torn = True
        with suppress(OSError):
            end = os.lseek(self._file, 0, os.SEEK_CUR)
            if os.fstat(self._file).st_size == end:
                os.ftruncate(self._file, end - fragment)
                self._torn = False

    def _append_to_pipe(self, lines: list[bytes]) -> int:
        """Write lines one at a time: a pipe keeps only those of up to PIPE_BUF bytes in one piece."""
        room = select.poll()
        room.register(self._file, select.POLLOUT)
        for done, line in enumerate(lines):
            try:
                if not any(event & select.POLLOUT for _, event in room.poll(0)):
                    return done
                data = b"\n" + line if self._torn else line
                written = os.write(self._file, data)
            except OSError:
                self.close()
                return done
            self._torn = written < len(data)
            if self._torn:
                return done
        return len(lines)


def _open_standard_output() -> int:
    """Standard output with flags of our own where the system lets us open it anew, else as it was given."""
    try:
        return os.open("/proc/self/fd/1", _FLAGS)
    except OSError:  # a socket, another user's pipe, or no /proc
        return os.dup(1)


def _identity_of(path: str) -> tuple[int, int]:
    """Device and inode that the path names, or zeros."""
    try:
        status = Path(path).stat()
    except OSError:
        return (0, 0)
    return (status.st_dev, status.st_ino)


def _ends_within_a_line(file: int) -> bool:
    """Whether the file that is open ends without a line feed: after a power cut. Unknown, where it may not be read, is no.

    A neighbour's line that is just being written looks the same for an instant, so what is torn is looked at again.
    """
    for _ in range(5):
        if not _lacks_line_feed(file):
            return False
        time.sleep(0.002)
    return True


def _lacks_line_feed(file: int) -> bool:
    try:
        with Path(f"/proc/self/fd/{file}").open("rb") as reading:
            reading.seek(-1, os.SEEK_END)
            return reading.read(1) != b"\n"
    except OSError:  # an empty file has no last byte
        return False


def _whole_lines(lines: list[bytes], written: int) -> tuple[int, int]:
    """How many lines fit whole into `written` bytes, and how many bytes of the next one follow."""
    for done, line in enumerate(lines):
        if written < len(line):
            return done, max(written, 0)
        written -= len(line)
    return len(lines), 0
