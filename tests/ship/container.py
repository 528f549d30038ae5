"""Run the built image without a container engine, as strictly as the chart asks: its user, no capability, no new privilege, a
read-only root file system with a small /tmp, its own network with nothing but loopback. Linux and root only.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LOOPBACK_UP = "import fcntl, socket, struct; fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sH14s', b'lo', 0x41, b''))"
ISOLATE = """
set -e
python=$1 root=$2 etc=$3; shift 3
"$python" -c "$LOOPBACK_UP"
mkdir -p "$root/run/dynamodb-proxy"
mount --bind "$root" "$root"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -o remount,bind,ro "$root"
mount -t tmpfs -o size=64m tmpfs "$root/tmp"
mount -t tmpfs -o size=1m,mode=0777 tmpfs "$root/run/dynamodb-proxy"
mount --bind "$etc" "$root/etc/dynamodb-proxy"
mount -o remount,bind,ro "$root/etc/dynamodb-proxy"
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class Image:
    """A built image: its files and its configuration, in Docker's words."""

    rootfs: Path
    config: Mapping[str, Any]

    def command(self, *command: str, env: Mapping[str, str] | None = None) -> list[str]:
        """What runs `command` inside the root file system as the image's user, with the image's variables."""
        user = self.config["User"].split(":")[0]
        drop = [
            "setpriv",
            f"--reuid={user}",
            f"--regid={user}",
            "--clear-groups",
            "--bounding-set=-all",
            "--inh-caps=-all",
            "--no-new-privs",
        ]
        variables = [*self.config["Env"], *(f"{name}={value}" for name, value in (env or {}).items())]
        return ["chroot", str(self.rootfs), *drop, "env", "-i", "-C", self.config["WorkingDir"], *variables, *command]


@dataclass(frozen=True, slots=True)
class Container:
    """A running image."""

    image: Image
    process: subprocess.Popen[str]

    def status(self) -> dict[str, str]:
        """What the kernel says of the container's process."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run `command` beside the container's own process, as the kubelet's exec does."""
        enter = ["nsenter", f"--target={self.process.pid}", "--net", "--mount"]
        return subprocess.run([*enter, *self.image.command(*command)], capture_output=True, text=True, check=False, timeout=30)

    def wait_for(self, *command: str, seconds: float = 60) -> None:
        """Wait until `command` succeeds in the container. AssertionError with all output if it ends, or never does."""
        deadline = time.monotonic() + seconds
        while (last := self.run(*command)).returncode:
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                output, errors = self.process.communicate()
                raise AssertionError(f"{command} never succeeded: {last.stderr}\nthe container's output:\n{output}{errors}")


@contextlib.contextmanager
def running(image: Image, etc: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Container]:
    """The image's entry point with its own arguments, or `arguments`; `etc` becomes /etc/dynamodb-proxy."""
    command = image.command(*image.config["Entrypoint"], *(arguments or image.config["Cmd"]), env=env)
    isolated = ["unshare", "--mount", "--net", "--propagation=private", "sh", "-c", ISOLATE, "sh", sys.executable]
    process = subprocess.Popen(
        [*isolated, str(image.rootfs), str(etc), *command],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LOOPBACK_UP": LOOPBACK_UP},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Container(image, process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def read_image(folder: Path) -> Image:
    """What build_image.sh left in `folder`."""
    return Image(folder / "rootfs", json.loads((folder / "config.json").read_text()))
