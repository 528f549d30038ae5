"""The Dockerfile builds, and what it builds runs as the chart demands: unprivileged, read-only, with the chart's own settings."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from tests.ship.container import Image, read_image, running
from tests.ship.rendering import CHART, ROOT, SIDECAR_VALUES, objects, of_kind, rendered, values

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

builds = pytest.mark.needs("buildah", "mmdebstrap", "root")

ISSUERS = [
    {
        "name": "file",
        "issuer": "https://issuer.internal",
        "audience": "dynamodb-proxy",
        "algorithms": ["EdDSA"],
        "may_assert": ["*"],
        "keys": {"jwks_file": "jwks.json"},
    }
]
AWS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}

ASK = """
import ssl, sys, urllib.error, urllib.request
try:
    request = urllib.request.Request(sys.argv[1], data=b"{}", headers={"content-type": "application/x-amz-json-1.0"})
    urllib.request.urlopen(request, context=ssl._create_unverified_context(), timeout=10)
except urllib.error.HTTPError as reply:
    print(reply.code, reply.read().decode())
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The image, built from this very tree."""
    folder = tmp_path_factory.mktemp("image") / "built"
    script = ROOT / "tests" / "ship" / "build_image.sh"
    done = subprocess.run(
        ["sh", str(script), str(ROOT), str(folder), str(ROOT / ".cache" / "image")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    yield read_image(folder)
    subprocess.run(["rm", "-rf", str(folder)], check=True)


def lay_out(folder: Path, files: dict[str, str]) -> None:
    """Write `files` as the kubelet mounts a ConfigMap or Secret: links over a link to a dated folder."""
    dated = folder / "..2026_11_22_12_00_00.1"
    dated.mkdir(parents=True)
    (folder / "..data").symlink_to(dated.name)
    for name, text in files.items():
        (dated / name).write_text(text)
        (folder / name).symlink_to(f"..data/{name}")


def certificate() -> dict[str, str]:
    """A self-signed certificate for loopback, as a Secret of type kubernetes.io/tls holds it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key(), serial_number=1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {"tls.crt": made.public_bytes(serialization.Encoding.PEM).decode(), "tls.key": secret.decode()}


def key_set() -> dict[str, object]:
    """An issuer's key set with one public key."""
    public = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    x = base64.urlsafe_b64encode(public).rstrip(b"=").decode()
    return {"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "one", "alg": "EdDSA", "x": x}]}


def etc_of(folder: Path, name: str) -> Path:
    """/etc/dynamodb-proxy as the chart mounts it for the values file `name`."""
    maps = of_kind("ConfigMap", objects(rendered("4", values(name))))
    data = {each["metadata"]["name"].rpartition("-")[2]: each["data"] for each in maps}
    (folder / "proxy.yaml").write_text(data["settings"]["proxy.yaml"])
    lay_out(folder / "policies", data["policies"])
    (folder / "jwks.json").write_text(json.dumps(key_set()))
    lay_out(folder / "tls", certificate())
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    return folder


def startup_probe() -> list[str]:
    """The command by which the kubelet learns that a sidecar is ready."""
    workers = yaml.safe_load(SIDECAR_VALUES.read_text())["workers"]
    command: list[str] = workers["kubernetes"]["extraInitContainers"][0]["startupProbe"]["exec"]["command"]
    return command


@pytest.mark.needs("ship")
def test_the_dockerfile_linter_finds_nothing() -> None:
    """Hadolint is content, with no rule switched off."""
    linter = ROOT / ".venv" / "ship" / "bin" / "hadolint"
    done = subprocess.run([str(linter), str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@builds
def test_the_image_declares_how_it_runs(image: Image) -> None:
    """User, ports, command, stop signal and health check are in the image, for every engine to read."""
    config = image.config
    assert config["User"] == "10001:10001"
    assert config["ExposedPorts"].keys() == {"8080/tcp", "9090/tcp"}
    assert config["Entrypoint"] == ["dynamodb-proxy"]
    assert config["Cmd"] == ["serve", "--config", "/etc/dynamodb-proxy/proxy.yaml"]
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"][:2] == ["CMD", "python"]
    assert {name for name in config["Labels"] if name.startswith("org.opencontainers.image.")} >= {
        f"org.opencontainers.image.{label}" for label in ("title", "description", "licenses", "version", "revision")
    }


@builds
def test_the_image_holds_the_gateway_and_no_tools_to_build_or_fetch(image: Image) -> None:
    """No compiler, pip, curl, source tree or lock; its user can write nothing of the gateway, which stays below 130 MB."""
    folders = [image.rootfs / folder for folder in ("usr/local/bin", "usr/bin", "opt/dynamodb-proxy/bin")]
    programs = {path.name for folder in folders for path in folder.iterdir()}
    assert not programs & {"gcc", "cc", "make", "pip", "pip3", "curl", "wget", "git", "uv"}
    gateway = image.rootfs / "opt" / "dynamodb-proxy"
    files = [path for path in gateway.rglob("*") if not path.is_symlink()]
    assert not [path for path in files if path.stat().st_uid or path.stat().st_mode & 0o022]
    assert sum(path.stat().st_size for path in files) < 130e6
    assert not list(gateway.glob("lib/python3*/site-packages/pip"))
    assert not (image.rootfs / "src").exists()
    assert "gateway:x:10001:10001:" in (image.rootfs / "etc" / "passwd").read_text()


@builds
@pytest.mark.needs("helm")
def test_the_command_line_runs_as_the_images_user(image: Image, tmp_path: Path) -> None:
    """`dynamodb-proxy --version` answers in a container in which nothing can be written."""
    version = next(
        iter(image.rootfs.glob("opt/dynamodb-proxy/lib/python3*/site-packages/dynamodb_proxy-*.dist-info"))
    ).name.split("-")[1]
    with running(image, etc_of(tmp_path, "sidecar"), "--version") as container:
        output, errors = container.process.communicate(timeout=60)
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    assert (container.process.returncode, output, errors) == (0, f"dynamodb-proxy {version}\n", "")


@builds
@pytest.mark.needs("helm")
@pytest.mark.parametrize(("name", "scheme"), [("sidecar", "http"), ("gateway", "https")])
def test_the_image_serves_what_the_chart_tells_it(image: Image, tmp_path: Path, name: str, scheme: str) -> None:
    """With settings and policies mounted as the kubelet mounts the chart's, the image becomes healthy and ready, and ends well.

    The network is loopback alone: neither AWS nor an issuer is needed to start.
    """
    environment = {**AWS, "DDB_PROXY_ISSUERS": json.dumps(ISSUERS)}
    with running(image, etc_of(tmp_path, name), env=environment) as container:
        container.wait_for(*image.config["Healthcheck"]["Test"][1:])
        container.wait_for(*startup_probe())
        status = container.status()
        assert (status["Uid"].split()[0], status["NoNewPrivs"], int(status["CapEff"], 16)) == ("10001", "1", 0)
        answer = container.run("python", "-c", ASK, f"{scheme}://127.0.0.1:8080/")
        assert "__type" in answer.stdout, answer.stderr
        container.process.send_signal(signal.SIGTERM)
        output, errors = container.process.communicate(timeout=30)
        assert container.process.returncode == 0, output + errors


@builds
@pytest.mark.needs("helm")
def test_a_gateway_that_is_told_nonsense_does_not_start(image: Image, tmp_path: Path) -> None:
    """A settings mistake ends the container at once with a message that names the file, not a restart loop without reason."""
    etc = etc_of(tmp_path, "sidecar")
    (etc / "proxy.yaml").write_text("listen: 127.0.0.1:8080\nlisten_admin: 127.0.0.1:9090\n")
    with running(image, etc, env=AWS) as container:
        output, errors = container.process.communicate(timeout=60)
    assert container.process.returncode not in (0, None)
    assert "proxy.yaml:2" in output + errors
    assert "Traceback" not in errors
