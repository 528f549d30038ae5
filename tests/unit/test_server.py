"""The data plane as real processes: it starts, drains on a signal, and restarts what dies."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import proxy
from proxy.server import CannotServe, DataPlane, bind, load_tls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

APP = """
import asyncio, os
from pathlib import Path
from proxy.model import Reply

class Pipeline:
    def __init__(self, state):
        self.state = state

    async def serve(self, head, incoming):
        body = await incoming.read()
        if body == b"slow":
            Path(os.environ["STARTED"]).touch()
            while not Path(os.environ["GO"]).exists():
                await asyncio.sleep(0.01)
        if body == b"die":
            os._exit(9)
        return Reply(200, (), b"%d" % os.getpid())

    def turn_away(self, refusal, peer):
        return Reply(refusal.answer.status, (), refusal.message.encode())

def create_app():
    async def app(scope, receive, send):
        await receive()
        if "BROKEN" in os.environ:
            await send({"type": "lifespan.startup.failed", "message": "no policy"})
            return
        scope["state"]["pipeline"] = Pipeline(scope["state"])
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("stopped", scope["state"]["draining"], flush=True)
        await send({"type": "lifespan.shutdown.complete"})
    return app

if __name__ == "__main__":
    import sys
    from proxy.server import DataPlane, bind
    from proxy.workers import serve_data_plane
    listener = bind("127.0.0.1", 0)
    print(listener.getsockname()[1], flush=True)
    workers, drain_delay, drain_timeout = sys.argv[1:]
    plane = DataPlane(
        "tiny:create_app", workers=int(workers), drain_delay=float(drain_delay), drain_timeout=float(drain_timeout)
    )
    sys.exit(serve_data_plane(plane, listener))
"""


class Gateway:
    """A data plane in a process of its own."""

    def __init__(self, directory: Path, workers: int, drain_delay: float, drain_timeout: float, **environment: str) -> None:
        self.started, self.go = directory / "started", directory / "go"
        (directory / "tiny.py").write_text(APP)
        path = os.pathsep.join([str(directory), str(Path(proxy.__file__).parents[1])])
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", str(directory / "tiny.py"), str(workers), str(drain_delay), str(drain_timeout)],
            env=os.environ | {"PYTHONPATH": path, "STARTED": str(self.started), "GO": str(self.go)} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def post(self, body: bytes) -> http.client.HTTPConnection:
        """A connection on which a request was sent."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("POST", "/", body, {"content-type": "application/json"})
        except OSError:
            connection.close()
            raise
        return connection

    def ask(self, body: bytes = b"{}") -> int:
        """Process id of the worker that answered."""
        connection = self.post(body)
        try:
            return int(connection.getresponse().read())
        finally:
            connection.close()

    def until(self, condition: Callable[[], bool]) -> None:
        """Ask again until `condition` holds."""
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def is_up(self) -> bool:
        """Whether a request is answered."""
        try:
            self.ask()
        except (OSError, http.client.HTTPException):
            return False
        return True

    def workers(self, number: int) -> set[int]:
        """Process ids, once `number` workers have answered; connections are held so that all get some."""
        pids: set[int] = set()
        held: list[http.client.HTTPConnection] = []

        def have_answered() -> bool:
            held.append(self.post(b"{}"))
            pids.add(int(held[-1].getresponse().read()))
            return len(pids) == number

        self.until(self.is_up)
        self.until(have_answered)
        for connection in held:
            connection.close()
        return pids

    def ends(self) -> tuple[int, str, str]:
        """Exit status, output and errors."""
        output, errors = self.process.communicate(timeout=30)
        return self.process.returncode, output, errors


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """Starts gateways and ends what a failed test left."""
    started: list[Gateway] = []

    def start(workers: int = 1, drain_delay: float = 0, drain_timeout: float = 20, **environment: str) -> Gateway:
        started.append(Gateway(tmp_path, workers, drain_delay, drain_timeout, **environment))
        return started[-1]

    yield start
    for one in started:
        one.go.touch()
        if one.process.poll() is None:
            one.process.terminate()
            one.process.communicate(timeout=30)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_gateway_stops_at_once(gateway: Callable[..., Gateway], number: signal.Signals) -> None:
    """Exit status 0, the app's shutdown ran, and nobody waits for a drain that has nothing to wait for."""
    one = gateway(drain_timeout=600)
    one.until(one.is_up)
    one.process.send_signal(number)
    assert one.ends() == (0, "stopped True\n", "")


def test_what_runs_is_finished_before_the_stop(gateway: Callable[..., Gateway]) -> None:
    """The listener closes, further signals change nothing, and the answer arrives with a goodbye."""
    one = gateway()
    one.until(one.is_up)
    slow = one.post(b"slow")
    one.until(one.started.exists)
    one.process.send_signal(signal.SIGTERM)
    one.until(lambda: not one.is_up())
    one.process.send_signal(signal.SIGTERM)
    one.process.send_signal(signal.SIGINT)
    one.go.touch()
    answer = slow.getresponse()
    assert (answer.status, answer.getheader("connection")) == (200, "close")
    answer.read()
    slow.close()
    assert one.ends() == (0, "stopped True\n", "")


def test_requests_are_taken_during_the_drain_delay(gateway: Callable[..., Gateway]) -> None:
    """Load balancers get time to look away: new connections are served, with a goodbye."""
    one = gateway(drain_delay=1)
    one.until(one.is_up)
    one.process.send_signal(signal.SIGTERM)

    def says_goodbye() -> bool:
        connection = one.post(b"{}")
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.getheader("connection") == "close"

    one.until(says_goodbye)
    assert one.ends()[0] == 0


def test_a_drain_has_a_budget(gateway: Callable[..., Gateway]) -> None:
    """What hangs does not hold the stop for ever."""
    one = gateway(drain_timeout=0.2)
    one.until(one.is_up)
    slow = one.post(b"slow")
    one.until(one.started.exists)
    one.process.send_signal(signal.SIGTERM)
    status, _, errors = one.ends()
    slow.close()
    assert status == 0
    assert "1 requests did not finish" in errors


def test_two_workers_share_a_socket_and_drain_together(gateway: Callable[..., Gateway]) -> None:
    """Both serve; a stop reaches both, what runs is finished, exit status 0."""
    one = gateway(workers=2)
    pids = one.workers(2)
    assert one.process.pid not in pids
    slow = one.post(b"slow")
    one.until(one.started.exists)
    one.process.send_signal(signal.SIGTERM)
    one.until(lambda: not one.is_up())
    one.go.touch()
    assert int(slow.getresponse().read()) in pids
    slow.close()
    assert one.ends() == (0, "stopped True\n" * 2, "")


def test_a_dead_worker_is_replaced(gateway: Callable[..., Gateway]) -> None:
    """The port stays served by new processes."""
    one = gateway(workers=2)
    before = one.workers(2)
    with pytest.raises((OSError, http.client.HTTPException)):
        one.ask(b"die")
    assert len(one.workers(2) & before) == 1
    one.process.send_signal(signal.SIGTERM)
    assert one.ends()[0] == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_an_app_that_cannot_start_ends_the_gateway(gateway: Callable[..., Gateway], workers: int) -> None:
    """No restart can help: exit status 3, no trace."""
    one = gateway(workers=workers, BROKEN="1")
    status, _, errors = one.ends()
    assert status == 3
    assert "no policy" in errors
    assert "Traceback" not in errors


def test_a_worker_without_its_parent_drains(gateway: Callable[..., Gateway]) -> None:
    """No orphan keeps the port after the parent was killed."""
    one = gateway(workers=2)
    one.workers(2)
    one.process.kill()
    one.until(lambda: not one.is_up())
    assert one.ends()[1] == "stopped True\n" * 2


def test_an_address_in_use_is_a_plain_message() -> None:
    """Another listener on the port is told without a trace."""
    with bind("127.0.0.1", 0) as first:
        first.listen()
        with pytest.raises(CannotServe, match=r"port .*in use; choose another"):
            bind("127.0.0.1", first.getsockname()[1])


def test_an_address_of_another_machine_is_a_plain_message() -> None:
    """Names that do not resolve and addresses that are not ours are told apart from ports in use."""
    with pytest.raises(CannotServe, match=r"cannot listen on `192\.0\.2\.1`"):
        bind("192.0.2.1", 0)
    with pytest.raises(CannotServe, match="write an address of this machine"):
        bind("no such host", 0)


def test_a_certificate_that_cannot_be_used_is_a_plain_message(tmp_path: Path) -> None:
    """Missing and unreadable files stop the start."""
    file = tmp_path / "tls.pem"
    with pytest.raises(CannotServe, match="No such file"):
        load_tls(DataPlane("tiny:app", certificate=file, key=file))
    file.write_text("not PEM")
    with pytest.raises(CannotServe, match="cannot use certificate"):
        load_tls(DataPlane("tiny:app", certificate=file, key=file))
