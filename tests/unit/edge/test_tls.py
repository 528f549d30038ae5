"""TLS of the port: certificates that renew, and answers for those who speak the wrong language."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from proxy.edge.tls import TlsPort, cause_of, keep_fresh
from proxy.refusal import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

HEALTH = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"


def on_both_loops(scenario: Callable[[Any, Path], Coroutine[None, None, None]]) -> Callable[..., None]:
    """Make a test of a scenario that runs with asyncio's TLS and with uvloop's own."""

    def test(on_loop: Callable[..., None], tmp_path: Path) -> None:
        on_loop(lambda start: scenario(start, tmp_path))

    test.__doc__ = scenario.__doc__
    return test


def write_certificate(directory: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for localhost and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = directory / "tls.crt", directory / "tls.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


def trust_anybody() -> ssl.SSLContext:
    """A client that looks at the certificate itself."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def subject_of(wire: Any) -> str:
    """Common name of the certificate that the server showed."""
    shown = wire.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return x509.load_der_x509_certificate(shown).subject.rfc4514_string()


@on_both_loops
async def test_requests_are_answered_over_tls(start: Callable[..., Any], tmp_path: Path) -> None:
    """TLS 1.2 or newer, ALPN http/1.1, and large answers in one piece."""
    client = trust_anybody()
    client.set_alpn_protocols(["h2", "http/1.1"])
    bench = await start(tls=TlsPort(*write_certificate(tmp_path, "a")), client_tls=client)
    wire = await bench.connect()
    assert wire.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
    assert wire.writer.get_extra_info("ssl_object").version() in {"TLSv1.2", "TLSv1.3"}
    head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\nx-do: large\r\ncontent-length: 2\r\n\r\n{}"
    wire.send(head + HEALTH)
    assert len((await wire.reply())[2]) == 8_000_000
    assert (await wire.reply())[0] == 200


@on_both_loops
async def test_a_refusal_over_tls_ends_the_connection(start: Callable[..., Any], tmp_path: Path) -> None:
    """TLS has no half-close: after the answer the connection lingers shortly, then closes."""
    bench = await start(tls=TlsPort(*write_certificate(tmp_path, "a")), client_tls=trust_anybody(), linger_seconds=0.1)
    wire = await bench.connect()
    wire.send(b"GET / HTTP/1.0\r\n\r\n" + HEALTH)
    assert (await wire.reply())[0] == 400
    assert await wire.rest() == b""


@on_both_loops
async def test_plain_http_to_the_tls_port_is_told_what_to_write(start: Callable[..., Any], tmp_path: Path) -> None:
    """The answer is readable by an ordinary client, counted as a refusal, and the connection ends."""
    bench = await start(tls=TlsPort(*write_certificate(tmp_path, "a")))

    def ask() -> tuple[int, str]:
        try:
            urllib.request.urlopen(f"http://localhost:{bench.port}/healthz", timeout=10).close()
        except urllib.error.HTTPError as error:
            with error:
                return error.status or 0, error.read().decode()
        return 0, ""

    status, message = await asyncio.to_thread(ask)
    assert status == 400
    assert "https://" in message
    assert [refusal.reason for refusal in bench.pipeline.refusals] == [Reason.PLAINTEXT_TO_TLS]


@on_both_loops
async def test_plaintext_behind_the_first_bytes_is_never_served(start: Callable[..., Any], tmp_path: Path) -> None:
    """A good request in plaintext does not reach the pipeline, in whatever pieces it comes."""
    bench = await start(tls=TlsPort(*write_certificate(tmp_path, "a")), linger_seconds=0.1)
    wire = await bench.connect(plaintext=True)
    wire.send(b"P")
    assert (await wire.reply())[0] == 400
    wire.send(b"OST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
    assert await wire.rest() == b""
    assert not bench.pipeline.heads


@on_both_loops
async def test_tls_to_the_plaintext_port_is_a_refusal(start: Callable[..., Any], tmp_path: Path) -> None:
    """The client sees at once that no TLS is spoken, and the refusal tells the operator."""
    bench = await start(client_tls=trust_anybody())
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await bench.connect()
    assert "plaintext port" in bench.pipeline.refusals[0].message


@on_both_loops
async def test_a_renewed_certificate_is_shown_to_new_connections(start: Callable[..., Any], tmp_path: Path) -> None:
    """Open connections stay; only changed content counts."""
    port = TlsPort(*write_certificate(tmp_path, "first"))
    bench = await start(tls=port, client_tls=trust_anybody())
    old = await bench.connect()
    assert not port.reload()
    write_certificate(tmp_path, "second")
    assert port.reload()
    assert not port.reload()
    new = await bench.connect()
    assert (subject_of(old), subject_of(new)) == ("CN=first", "CN=second")
    old.send(HEALTH)
    assert (await old.reply())[0] == 200


@on_both_loops
async def test_a_certificate_that_does_not_fit_leaves_the_last_good_one(start: Callable[..., Any], tmp_path: Path) -> None:
    """Half-written or mismatched files are an error now and are tried again later."""
    certificate, key = write_certificate(tmp_path, "good")
    port = TlsPort(certificate, key)
    good_key = key.read_bytes()
    write_certificate(tmp_path, "other")
    other_key = key.read_bytes()
    key.write_bytes(good_key)
    for _ in range(2):
        with pytest.raises(OSError, match="KEY_VALUES_MISMATCH"):
            port.reload()
    bench = await start(tls=port, client_tls=trust_anybody())
    assert subject_of(await bench.connect()) == "CN=good"
    key.write_bytes(other_key)
    assert port.reload()


async def test_the_files_are_polled_and_trouble_is_told_once(
    start: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A renewed certificate is found without a restart; a broken one is one line in the log, until it is mended."""
    port = TlsPort(*write_certificate(tmp_path, "first"))
    bench = await start(tls=port, client_tls=trust_anybody())
    polling = asyncio.create_task(keep_fresh(port, 0.01))
    good = (tmp_path / "tls.crt").read_bytes()
    (tmp_path / "tls.crt").write_text("half writt")
    await bench.until(lambda: len(caplog.records) == 1)
    (tmp_path / "tls.crt").write_bytes(good)
    write_certificate(tmp_path, "second")

    while subject_of(await bench.connect()) != "CN=second":
        pass
    polling.cancel()
    assert {record.levelname for record in caplog.records} == {"ERROR"}


async def test_what_is_wrong_with_a_new_certificate_is_told_with_what_to_do(
    start: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not as OpenSSL does, with a line of its source; and who counts it hears when it is mended, renewed or put back."""
    certificate, key = write_certificate(tmp_path, "first")
    port, heard = TlsPort(certificate, key), list[bool]()
    bench = await start(tls=port)
    good = certificate.read_bytes()
    polling = asyncio.create_task(keep_fresh(port, 0.01, heard.append))
    certificate.write_bytes(good[:100])
    await bench.until(lambda: heard == [True])
    certificate.unlink()
    await bench.until(lambda: heard == [True, True])
    (tmp_path / "whole").write_bytes(good)
    (tmp_path / "whole").replace(certificate)
    await bench.until(lambda: heard == [True, True, False])
    write_certificate(tmp_path, "second")
    await bench.until(lambda: len(heard) > 3 and not heard[-1])  # perhaps seen between the two files before
    polling.cancel()
    told = [record.message.partition("stays: ")[2] for record in caplog.records if record.levelname == "ERROR"]
    assert told[0].startswith("one of the two is cut off or not PEM; write the certificate with its chain into one file")
    assert told[1] == f"{certificate}: No such file or directory"
    assert "_ssl.c" not in caplog.text


def test_a_key_of_another_certificate_is_told_as_that(tmp_path: Path) -> None:
    """The usual half of a renewal."""
    certificate, key = write_certificate(tmp_path, "first")
    port, first = TlsPort(certificate, key), key.read_bytes()
    write_certificate(tmp_path, "second")
    key.write_bytes(first)
    with pytest.raises(OSError, match="KEY_VALUES_MISMATCH") as caught:
        port.reload()
    assert cause_of(caught.value) == "the key is another certificate's; put both in place together"


def test_a_missing_certificate_is_an_error_at_start(tmp_path: Path) -> None:
    """Nothing starts half-configured."""
    with pytest.raises(FileNotFoundError):
        TlsPort(tmp_path / "tls.crt", tmp_path / "tls.key")
