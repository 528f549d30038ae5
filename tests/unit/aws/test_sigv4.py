"""The signer equals botocore byte for byte, and nothing unsafe travels."""

from __future__ import annotations

import random
import string
from base64 import b64encode
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials

from proxy.aws.sigv4 import Endpoint, PassedHeaders, signed_request, signing_key
from proxy.model import Credentials

AWS = Endpoint("https", "dynamodb.us-east-1.amazonaws.com", 443, "us-east-1")
KEYS = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "TOKEN", 0.0)
GET_ITEM = b"DynamoDB_20120810.GetItem"
VECTOR_TIME = datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp()


class SigV4AtTime(SigV4Auth):
    """botocore's signer, its steps as in `add_auth`, with the time given instead of read."""

    def sign(self, request: AWSRequest, now: float) -> None:
        """Add the headers that `add_auth` would add at this time."""
        request.context["timestamp"] = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
        self._modify_request_before_signing(request)
        to_sign = self.string_to_sign(request, self.canonical_request(request))
        self._inject_signature_to_request(request, self.signature(to_sign, request))


def headers_of(request: bytes) -> tuple[bytes, dict[str, str], bytes]:
    """Request line, headers by name (each once), body."""
    head, _, body = request.partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    pairs = [field.decode("latin-1").split(": ", 1) for field in fields]
    assert len({name for name, _ in pairs}) == len(pairs)
    return line, dict(pairs), body


def signed_by_botocore(endpoint: Endpoint, target: bytes, body: bytes, keys: Credentials, now: float) -> dict[str, str]:
    """The headers that botocore sends for the same request, lower-case names, Host included."""
    request = AWSRequest(
        method="POST",
        url=f"{endpoint}/",
        data=body,
        headers={"X-Amz-Target": target.decode(), "Content-Type": "application/x-amz-json-1.0"},
    )
    signer = SigV4AtTime(
        BotocoreCredentials(keys.access_key_id, keys.secret_access_key, keys.session_token or None), "dynamodb", endpoint.region
    )
    signer.sign(request, now)
    host = signer.headers_to_sign(request)["host"]
    return {name.lower(): value for name, value in request.headers.items()} | {"host": host}


def test_equals_the_published_vector() -> None:
    """The signature of the reference's vector comes out."""
    _, headers, body = headers_of(signed_request(AWS, GET_ITEM, b'{"TableName":"tab"}', KEYS, VECTOR_TIME))
    assert headers["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/dynamodb/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, "
        "Signature=36c06f4c8e813582b667e891a25f7234200b75911b5b00d0fe863a038b70084d"
    )
    assert sha256(body).hexdigest() == "2cf30353a02cec7b5ebf3b9e572d82c359803c970c0bd7c6384c238d58814fc6"


def test_signing_key_equals_the_one_of_the_aws_documentation() -> None:
    """The key derivation gives the example of the AWS General Reference."""
    key = signing_key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20150830", "us-east-1", "iam")
    assert key.hex() == "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"


def random_endpoint(source: random.Random) -> Endpoint:
    """Any scheme, default and other ports, names and addresses."""
    host = source.choice(
        ["dynamodb.us-east-1.amazonaws.com", "localhost", "127.0.0.1", "[::1]", "vpce-1.dynamodb.eu-central-1.vpce.amazonaws.com"]
    )
    region = source.choice(["us-east-1", "eu-central-1", "us-gov-west-1", "cn-north-1", "ap-southeast-7"])
    scheme = source.choice(["http", "https"])
    return Endpoint(scheme, host, source.choice([80, 443, 8000, source.randint(1, 65535)]), region)  # type: ignore[arg-type]  # any text


def random_keys(source: random.Random) -> Credentials:
    """With and without session token; secrets of any text."""
    secret = "".join(source.choices(string.printable + "äß", k=source.randint(1, 60)))
    token = b64encode(source.randbytes(source.randint(1, 300))).decode() if source.random() < 0.7 else ""
    return Credentials("".join(source.choices(string.ascii_uppercase + string.digits, k=20)), secret, token, 0.0)


def test_equals_botocore_for_ten_thousand_random_requests() -> None:
    """For any target, body, credentials, Region, host, port and time, what is sent is what botocore would send."""
    source = random.Random(20261122)
    for _ in range(10_000):
        endpoint, keys = random_endpoint(source), random_keys(source)
        service = source.choice(["DynamoDB_20120810", "DynamoDBStreams_20120810"])
        target = f"{service}.{''.join(source.choices(string.ascii_letters, k=source.randint(1, 30)))}".encode()
        body = source.randbytes(source.choice([0, 2, source.randint(0, 300), source.randint(0, 3000)]))
        now = source.uniform(0, 4e9)
        line, headers, sent_body = headers_of(signed_request(endpoint, target, body, keys, now))
        expected = signed_by_botocore(endpoint, target, body, keys, now)
        assert line == b"POST / HTTP/1.1"
        assert sent_body == body
        for name in ("accept-encoding", "user-agent"):
            headers.pop(name)
        assert int(headers.pop("content-length")) == len(body)
        assert headers == expected


def test_one_credentials_many_seconds_and_endpoints_do_not_mix() -> None:
    """The memo never serves a request of another second, endpoint or key."""
    source = random.Random(7)
    endpoints, keys = [random_endpoint(source) for _ in range(3)], [random_keys(source) for _ in range(3)]
    for _ in range(500):
        endpoint, key, now = source.choice(endpoints), source.choice(keys), 1e9 + source.randint(86_390, 86_410)
        _, headers, _ = headers_of(signed_request(endpoint, GET_ITEM, b"{}", key, now))
        assert headers["authorization"] == signed_by_botocore(endpoint, GET_ITEM, b"{}", key, now)["authorization"]


SDK = PassedHeaders(b"amz-sdk-invocation-id", b"amz-sdk-request")


def test_passed_headers_travel_and_are_not_signed() -> None:
    """Allow-listed headers reach AWS, the signature does not depend on them."""
    plain = headers_of(signed_request(AWS, GET_ITEM, b"{}", KEYS, VECTOR_TIME))[1]
    sent = {b"amz-sdk-request": b"attempt=2; max=3", b"host": b"evil", b"amz-sdk-invocation-id": b"3a5", b"cookie": b"a"}
    headers = headers_of(signed_request(AWS, GET_ITEM, b"{}", KEYS, VECTOR_TIME, SDK.lines(sent)))[1]
    assert headers == plain | {"amz-sdk-invocation-id": "3a5", "amz-sdk-request": "attempt=2; max=3"}
    assert headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "value", [b"a\r\nx: y", b"a\nb", b"a\n", b"a\0", b"a\x7f", b"\x1b[2J", b"a\r", b"", b"a" * 129, b"a\tb", b"\xff", b"a(b)"]
)
def test_values_that_are_not_short_plain_text_stay_behind(value: bytes) -> None:
    """No header value can end the line; what else was sent travels all the same."""
    assert SDK.lines({b"amz-sdk-request": value, b"amz-sdk-invocation-id": b"1"}) == b"amz-sdk-invocation-id: 1\r\n"


@pytest.mark.parametrize(
    "name",
    [b"host", b"content-length", b"transfer-encoding", b"authorization", b"x-amz-date", b"x-amz-target", b"x-amz-security-token",
     b"Host", b"a b", b"", b"a:b", b"a\r\nb", b"proxy-authorization", b"connection", b"x_y"],
)  # fmt: skip
def test_passed_names_that_frame_route_or_authenticate_are_refused(name: bytes) -> None:
    """Even a wrong allow-list cannot add a second Host, date, key or length."""
    with pytest.raises(ValueError, match="not a header to pass on"):
        PassedHeaders(b"amz-sdk-request", name)


def test_a_passed_name_given_twice_is_refused() -> None:
    """Which of two would count is nobody's guess."""
    with pytest.raises(ValueError, match="not a header to pass on: `a`"):
        PassedHeaders(b"a", b"b", b"a")


def test_requests_do_not_leave_traces_in_each_other() -> None:
    """What is kept between requests is only copied: the same request is signed the same, whatever came between."""
    first = signed_request(AWS, GET_ITEM, b"{}", KEYS, VECTOR_TIME)
    for body in (b"", b"x" * 500):
        signed_request(AWS, GET_ITEM, body, KEYS, VECTOR_TIME)
    signed_request(AWS, b"DynamoDB_20120810.PutItem", b"{}", KEYS, VECTOR_TIME)
    signed_request(AWS, GET_ITEM, b"{}", KEYS, VECTOR_TIME + 1)
    assert signed_request(AWS, GET_ITEM, b"{}", KEYS, VECTOR_TIME) == first


@pytest.mark.parametrize("target", [b"", b"GetItem", b"DynamoDB_20120810.Get Item", b"A.B\r\nhost: x", b"A.B.C", b"A.B\n"])
def test_targets_that_are_none_are_refused(target: bytes) -> None:
    """A target is `Service.Operation` and nothing else."""
    with pytest.raises(ValueError, match="not an X-Amz-Target"):
        signed_request(AWS, target, b"{}", KEYS, VECTOR_TIME)


@pytest.mark.parametrize(
    "keys", [Credentials("AK ID", "s", "t", 0), Credentials("AKID", "s", "t\r\nx: y", 0), Credentials("", "s", "", 0)]
)
def test_credentials_that_no_header_can_carry_are_refused(keys: Credentials) -> None:
    """Nothing in a key id or session token can end the line; the message does not hold them."""
    with pytest.raises(ValueError, match="characters that no header can carry") as caught:
        signed_request(AWS, GET_ITEM, b"{}", keys, VECTOR_TIME)
    assert "x: y" not in str(caught.value)


@pytest.mark.parametrize(
    ("scheme", "host", "port", "region"),
    [("ftp", "h", 1, "r"), ("http", "h", 0, "r"), ("http", "h", 65536, "r"), ("http", "h\r\n", 1, "r"), ("http", "h/p", 1, "r"),
     ("http", "u@h", 1, "r"), ("http", "H", 1, "r"), ("http", "", 1, "r"), ("http", "h", 1, "a/b"), ("http", "a" * 64, 1, "r")],
)  # fmt: skip
def test_an_endpoint_is_a_plain_address(scheme: str, host: str, port: int, region: str) -> None:
    """Nothing that could be read in two ways becomes an endpoint."""
    with pytest.raises(ValueError, match="not an endpoint"):
        Endpoint(scheme, host, port, region)  # type: ignore[arg-type]  # any text


@pytest.mark.parametrize(
    ("endpoint", "authority"),
    [(AWS, "dynamodb.us-east-1.amazonaws.com"), (Endpoint("http", "localhost", 80, "r"), "localhost"),
     (Endpoint("http", "localhost", 443, "r"), "localhost:443"), (Endpoint("https", "[::1]", 8443, "r"), "[::1]:8443")],
)  # fmt: skip
def test_host_leaves_the_default_port_out(endpoint: Endpoint, authority: str) -> None:
    """The Host header is spelled as botocore spells it."""
    assert endpoint.authority == authority
