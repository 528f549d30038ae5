"""The strict table of tokens: every laxity of the library is a test here."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.identity.jwks import VerifyKey, read_key_set
from proxy.identity.token import Issuer, check, issuer_of, read_token
from proxy.refusal import Reason, Refusal, Unauthenticated
from tests.unit.identity.keyring import ISSUER, NOW, Ring, claims_with, encoded, issuer_with

if TYPE_CHECKING:
    from proxy.model import Subject
    from tests.unit.identity.keyring import SigningKey


def public(key: SigningKey) -> VerifyKey:
    """The published half of a key."""
    return read_key_set(json.dumps({"keys": [key.jwk(alg=None)]}).encode()).keys[0]


def believed(token: bytes, key: SigningKey, issuer: Issuer | None = None, now: float = NOW) -> Subject:
    """Everything that the verifier does, without its caches."""
    settings = issuer or issuer_with()
    unverified = read_token(token)
    return check(unverified, issuer_of(unverified, (settings,)), public(key), now)


def refusal_of(token: bytes, key: SigningKey, issuer: Issuer | None = None, now: float = NOW) -> Refusal:
    """The refusal that a token earns; it never quotes the token."""
    with pytest.raises(Unauthenticated) as caught:
        believed(token, key, issuer, now)
    assert token[-40:].decode("latin-1") not in caught.value.message
    return caught.value


def test_a_good_token_becomes_a_subject(ring: Ring) -> None:
    """Issuer, subject, mapped claims, end and id are taken over; unmapped claims are not."""
    subject = believed(ring.rsa_a.token(claims_with(try_number=2, secret="x")), ring.rsa_a)
    assert (subject.issuer, subject.subject, subject.expires_at) == ("main", "airflow:worker", NOW + 900)
    assert subject.claims == {"dag_id": "orders_dag", "try_number": "2"}
    assert (subject.may_assert, subject.token_id) == (("*",), "0f0e")


@pytest.mark.parametrize("name", ["rsa_a", "pss", "ec_1", "ec_384", "ed"])
def test_every_asymmetric_family_works(ring: Ring, name: str) -> None:
    """RS, PS, ES and EdDSA signatures are believed where the issuer lists them."""
    key = getattr(ring, name)
    assert believed(key.token(claims_with()), key, issuer_with(algorithms=(key.algorithm,))).subject == "airflow:worker"


@pytest.mark.parametrize("token_id", [None, 5, "", "a\nb", "x" * 300])
def test_without_a_decent_jti_the_token_is_named_by_its_digest(ring: Ring, token_id: object) -> None:
    """Sixteen hexadecimal digits stand in for a missing or strange `jti`."""
    assert len(believed(ring.rsa_a.token(claims_with(jti=token_id)), ring.rsa_a).token_id) == 16


def test_a_token_in_a_log_shows_nothing_of_itself(ring: Ring) -> None:
    """The printed form of a token that was taken apart holds neither claims nor signature."""
    shown = repr(read_token(ring.rsa_a.token(claims_with())))
    assert "orders_dag" not in shown
    assert "signature" not in shown


# ------------------------------------------------------------------------------------- the signature


def test_another_key_with_the_same_kid_is_no_proof(ring: Ring) -> None:
    """A key id selects, it does not prove."""
    assert refusal_of(ring.attacker.token(claims_with()), ring.rsa_a).reason is Reason.BAD_SIGNATURE


def test_a_payload_swapped_after_signing_is_refused(ring: Ring) -> None:
    """The signature covers the claims that are used."""
    head, _, signature = ring.rsa_a.token(claims_with()).split(b".")
    swapped = b".".join([head, encoded(json.dumps(claims_with(dag_id="reports_dag")).encode()), signature])
    assert refusal_of(swapped, ring.rsa_a).reason is Reason.BAD_SIGNATURE


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS384", "rs256", "", "ES256"])
def test_the_header_cannot_choose_the_algorithm(ring: Ring, algorithm: str) -> None:
    """An algorithm outside the issuer's list, or one that the key does not fit, is refused."""
    assert refusal_of(ring.rsa_a.token(claims_with(), alg=algorithm), ring.rsa_a).reason is Reason.BAD_SIGNATURE


def test_a_symmetric_algorithm_stays_refused_even_if_configured(ring: Ring) -> None:
    """A careless list of algorithms cannot open the door to key confusion."""
    issuer = issuer_with(algorithms=("none", "HS256"))
    for algorithm in issuer.algorithms:
        assert refusal_of(ring.rsa_a.token(claims_with(), alg=algorithm), ring.rsa_a, issuer).reason is Reason.BAD_SIGNATURE


def test_an_all_zero_signature_of_ecdsa_is_refused(ring: Ring) -> None:
    """Psychic signatures (CVE-2022-21449) do not work."""
    head, payload, _ = ring.ec_1.token(claims_with()).split(b".")
    for length in (64, 63, 1):
        token = b".".join([head, payload, encoded(bytes(length))])
        assert refusal_of(token, ring.ec_1).reason is Reason.BAD_SIGNATURE


# ---------------------------------------------------------------------------------- form and header


@pytest.mark.parametrize(
    ("token", "says"),
    [
        (b"", "1 segments"),
        (b"a.b", "2 segments"),
        (b"a.b.c.d", "4 segments"),
        (b"a.b.c.d.e", "encrypted"),
        (b"e30.e30.", "not signed"),
        (b".e30.e30", "not url-safe base64"),
        (b'"e30.e30.e30"', "quotes"),
        (b"e30.e30.e/0", "not url-safe base64"),
        (b"e30.e30.e30==", "padding"),
        (b"e30.e30.e30\n", "not url-safe base64"),
        (b"e30.e30.a", "cut short"),
        (b"e30.e30.e31", "canonical"),  # the last character holds stray bits
        (b"W10.e30.e30", "header is not a strict JSON object"),
        (b"e30.W10.e30", "payload is not a strict JSON object"),
    ],
)
def test_the_compact_form_is_strict(token: bytes, says: str) -> None:
    """Segments, alphabet, padding and canonical ends are all checked before anything is parsed."""
    with pytest.raises(Unauthenticated) as caught:
        read_token(token)
    assert caught.value.reason is Reason.TOKEN_MALFORMED
    assert says in caught.value.message


def test_a_token_over_16_kib_is_not_even_split() -> None:
    """The size cap comes first."""
    with pytest.raises(Unauthenticated) as caught:
        read_token(b"a" * 16385)
    assert caught.value.reason is Reason.TOO_LARGE


def test_padding_after_a_good_token_is_refused(ring: Ring) -> None:
    """`==` at the end makes another token out of the same one (the library takes both)."""
    assert refusal_of(ring.rsa_a.token(claims_with()) + b"==", ring.rsa_a).reason is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    "payload",
    [
        json.dumps(claims_with()).encode("utf-16"),
        json.dumps(claims_with()).encode("utf-16-le"),
        json.dumps(claims_with()).encode("utf-8-sig"),
        json.dumps(claims_with())[:-1].encode() + b',"dag_id":"reports_dag"}',
        json.dumps(claims_with())[:-1].encode() + b',"\\u0064ag_id":"reports_dag"}',
        json.dumps(claims_with())[:-1].encode() + b',"x":NaN}',
        json.dumps(claims_with())[:-1].encode() + b',"x":"\\ud800"}',
        json.dumps(claims_with())[:-1].encode() + b',"x":"\xff"}',
        json.dumps(claims_with())[:-1].encode() + b',"x":' + b"[" * 300 + b"]" * 300 + b"}",
        json.dumps(claims_with()).encode() + b"{}",
    ],
)
def test_lax_json_in_the_payload_is_refused(ring: Ring, payload: bytes) -> None:
    """UTF-16, byte-order marks, duplicate claims, NaN, surrogates, depth and trailing data never reach the claims."""
    token = ring.rsa_a.sign_parts(b'{"alg":"RS256","kid":"rsa-a"}', payload)
    assert refusal_of(token, ring.rsa_a).reason is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize(
    "header",
    [
        b'{"alg":"none","alg":"RS256","kid":"rsa-a"}',
        b'{"alg":"RS256","kid":7}',
        b'{"alg":["RS256"]}',
        b'{"alg":"RS256","typ":5}',
        b'{"alg":"RS256","kid":null}',
        b'{"alg":"RS256","crit":[]}',
        b'{"alg":"RS256","crit":["b64"],"b64":true}',
        b'{"alg":"RS256","crit":["x-require-mfa"],"x-require-mfa":true}',
        b'{"alg":"RS256","b64":true}',
        b'{"alg":"RS256","zip":"DEF"}',
        b'{"alg":"RS256","enc":"A128GCM"}',
    ],
)
def test_header_members_that_change_the_meaning_are_refused(ring: Ring, header: bytes) -> None:
    """Duplicate members, wrong types and `crit`, `b64`, `zip`, `enc` are malformed."""
    token = ring.rsa_a.sign_parts(header, json.dumps(claims_with()).encode())
    assert refusal_of(token, ring.rsa_a).reason is Reason.TOKEN_MALFORMED


def test_keys_in_the_header_are_never_used(ring: Ring) -> None:
    """`jwk`, `jku`, `x5u` and `x5c` neither help an attacker nor hurt an honest token."""
    extra: dict[str, Any] = {
        "jwk": ring.attacker.jwk(),
        "jku": "http://127.0.0.1:1/",
        "x5u": "http://127.0.0.1:1/",
        "x5c": ["AA"],
    }
    assert refusal_of(ring.attacker.token(claims_with(), **extra), ring.rsa_a).reason is Reason.BAD_SIGNATURE
    assert believed(ring.rsa_a.token(claims_with(), **extra), ring.rsa_a).subject == "airflow:worker"


def test_the_type_is_compared_where_the_issuer_demands_one(ring: Ring) -> None:
    """`at+jwt` is matched without regard to case and `application/`; another or none is refused."""
    issuer = issuer_with(required_type="at+jwt")
    for good in ("at+jwt", "AT+JWT", "application/at+jwt"):
        assert believed(ring.rsa_a.token(claims_with(), typ=good), ring.rsa_a, issuer).subject == "airflow:worker"
    for bad in ("JWT", None):
        refusal = refusal_of(ring.rsa_a.token(claims_with(), typ=bad), ring.rsa_a, issuer)
        assert refusal.reason is Reason.TOKEN_CLAIMS
        assert "demands 'at+jwt'" in refusal.message


# ------------------------------------------------------------------------------------------- claims


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ("https://evil.test/", "configured: 'https://idp.test/realms/airflow'"),
        (ISSUER + "/", "only in the trailing slash"),
        (ISSUER.replace("https", "http"), "`http` or `https`"),
        (ISSUER.upper(), "only in"),
        (ISSUER.replace("airflow", "Airflow"), "upper and lower case"),
        (ISSUER[:-1], "configured:"),
        (ISSUER + "x" * 200 + "\n", "..."),
    ],
)
def test_the_issuer_is_compared_exactly(ring: Ring, said: str, says: str) -> None:
    """No prefix, slash, scheme or case variant passes (CVE-2024-53861), and a near miss is pointed out."""
    refusal = refusal_of(ring.rsa_a.token(claims_with(iss=said)), ring.rsa_a)
    assert refusal.reason is Reason.UNKNOWN_ISSUER
    assert says in refusal.message
    assert "\n" not in refusal.message


def test_an_issuer_from_elsewhere_is_not_shown(ring: Ring) -> None:
    """Whoever can reach the port could else write any address into answers and logs."""
    refusal = refusal_of(ring.rsa_a.token(claims_with(iss="http://evil.test:4444/x")), ring.rsa_a)
    assert "evil" not in refusal.message
    assert "dynamodb-proxy doctor" in refusal.message


def test_each_issuer_is_found_among_several(ring: Ring) -> None:
    """The issuer string selects the settings, and with them the keys."""
    partner = issuer_with(name="partner", issuer="https://idp2.test/")
    token = read_token(ring.rsa_a.token(claims_with(iss="https://idp2.test/")))
    assert issuer_of(token, (issuer_with(), partner)) is partner


@pytest.mark.parametrize("audience", ["dynamodb-proxy", ["dynamodb-proxy"], ["airflow-webserver", "dynamodb-proxy"]])
def test_one_of_the_audiences_is_enough(ring: Ring, audience: object) -> None:
    """`aud` may be text or a list (RFC 7519, 4.1.3)."""
    assert believed(ring.rsa_a.token(claims_with(aud=audience)), ring.rsa_a).subject == "airflow:worker"


def test_another_audience_is_told_with_what_was_expected(ring: Ring) -> None:
    """The message names both audiences and what to do."""
    refusal = refusal_of(ring.rsa_a.token(claims_with(aud=["sts.amazonaws.com"])), ring.rsa_a)
    assert refusal.reason is Reason.WRONG_AUDIENCE
    assert refusal.message.startswith("login refused: token audience is 'sts.amazonaws.com', expected 'dynamodb-proxy'; fix")
    for near in ("dynamodb-prox", "dynamodb-proxy ", "Dynamodb-proxy", ""):
        assert refusal_of(ring.rsa_a.token(claims_with(aud=near)), ring.rsa_a).reason is Reason.WRONG_AUDIENCE


@pytest.mark.parametrize(
    ("age", "says"),
    [
        (61, "expired 61 s ago; read the token file anew for each client"),
        (7200, "expired 2 h ago; a static"),
        (1e6, "12 days ago; it comes"),
    ],
)
def test_an_expired_token_is_told_how_long_ago(ring: Ring, age: float, says: str) -> None:
    """How long ago decides where to look: the clocks, the static variable, or the copy that nobody renews."""
    refusal = refusal_of(ring.rsa_a.token(claims_with()), ring.rsa_a, now=NOW + 900 + age)
    assert refusal.reason is Reason.TOKEN_EXPIRED
    assert says in refusal.message


def test_the_leeway_ends_exactly(ring: Ring) -> None:
    """60 s after `exp` the token is gone, a moment before it is not; the same holds for `nbf` and `iat`."""
    token = ring.rsa_a.token(claims_with())
    assert believed(token, ring.rsa_a, now=NOW + 959.9)
    assert refusal_of(token, ring.rsa_a, now=NOW + 960).reason is Reason.TOKEN_EXPIRED
    assert believed(token, ring.rsa_a, now=NOW - 60)
    assert refusal_of(token, ring.rsa_a, now=NOW - 60.1).reason is Reason.TOKEN_NOT_YET_VALID


def test_not_before_is_optional_and_binding(ring: Ring) -> None:
    """A token without `nbf` starts at `iat`; one with a later `nbf` starts there."""
    assert believed(ring.rsa_a.token(claims_with(nbf=None)), ring.rsa_a)
    refusal = refusal_of(ring.rsa_a.token(claims_with(nbf=NOW + 300)), ring.rsa_a)
    assert refusal.reason is Reason.TOKEN_NOT_YET_VALID
    assert "5 min in the future" in refusal.message


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize(
    "value", ["1795000900", "١٧٩٥٠٠٠٩٠٠", " 1795000900", "1_795_000_900", True, [1795000900], {}, -1, 1e308, 10**400]
)
def test_times_are_plain_numbers_within_the_years_that_exist(ring: Ring, name: str, value: object) -> None:
    """Text, booleans, lists, negative and endless times are refused (the library takes several of them)."""
    assert refusal_of(ring.rsa_a.token(claims_with(**{name: value})), ring.rsa_a).reason is Reason.TOKEN_CLAIMS


def test_infinity_written_as_a_number_is_no_time(ring: Ring) -> None:
    """`1e400` overflows to infinity in every JSON library."""
    payload = json.dumps(claims_with(exp=None))[:-1].encode() + b',"exp":1e400}'
    token = ring.rsa_a.sign_parts(b'{"alg":"RS256","kid":"rsa-a"}', payload)
    assert refusal_of(token, ring.rsa_a).reason is Reason.TOKEN_CLAIMS


@pytest.mark.parametrize("name", ["exp", "iat", "sub", "iss", "aud"])
def test_required_claims_are_required(ring: Ring, name: str) -> None:
    """A token without end, start, subject, issuer or audience is refused."""
    assert refusal_of(ring.rsa_a.token(claims_with(**{name: None})), ring.rsa_a).reason is Reason.TOKEN_CLAIMS


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": NOW + 86401},
        {"exp": NOW + 10 * 365 * 86400},
        {"iat": NOW - 86400},
        {"exp": NOW},
        {"exp": NOW + 30, "iat": NOW + 40},
        {"sub": ""},
        {"sub": 5},
        {"sub": "a\nb"},
        {"sub": "a" * 256},
        {"iss": 5},
        {"iss": ""},
        {"aud": {"dynamodb-proxy": 1}},
        {"aud": []},
        {"aud": ["dynamodb-proxy", 5]},
        {"aud": 5},
        {"dag_id": ""},
        {"dag_id": "a" * 251},
        {"dag_id": "a\nb"},
        {"dag_id": 7},
        {"dag_id": True},
        {"dag_id": ["orders_dag"]},
        {"dag_id": {"x": 1}},
        {"try_number": 1.5},
        {"try_number": True},
        {"try_number": 10**300},
    ],
)
def test_claims_out_of_range_are_refused(ring: Ring, changes: dict[str, Any]) -> None:
    """Ten-year lifetimes, empty subjects, control characters and wrong types each end here."""
    assert refusal_of(ring.rsa_a.token(claims_with(**changes)), ring.rsa_a).reason is Reason.TOKEN_CLAIMS


@pytest.mark.parametrize(
    ("required", "claims", "passes"),
    [
        ({"repository_owner": ("acme",)}, {"repository_owner": "acme"}, True),
        ({"repository_owner": ("acme",)}, {"repository_owner": "acme-evil"}, False),
        ({"repository_owner": ("acme",)}, {"repository_owner": "ACME"}, False),
        ({"repository_owner": ("acme",)}, {}, False),
        ({"repository_owner": ("acme",)}, {"repository_owner": None}, False),
        ({"repository_owner": ("*",)}, {"repository_owner": None}, False),
        ({"repository_owner": ("*",)}, {"repository_owner": 5}, False),
        ({"repository_owner": ("*",)}, {"repository_owner": {"acme": 1}}, False),
        ({"ref": ("refs/heads/*", "!refs/heads/x*")}, {"ref": "refs/heads/main"}, True),
        ({"ref": ("refs/heads/*", "!refs/heads/x*")}, {"ref": "refs/heads/x1"}, False),
        ({"realm_access.roles": ("dynamodb",)}, {"realm_access": {"roles": ["other", "dynamodb"]}}, True),
        ({"realm_access.roles": ("dynamodb",)}, {"realm_access": {"roles": ["dynamodb-not"]}}, False),
        ({"realm_access.roles": ("dynamodb",)}, {"realm_access": {"roles": [["dynamodb"], 5, None]}}, False),
        ({"https://acme.example/team": ("growth",)}, {"https://acme.example/team": "growth"}, True),
        ({"a": ("1",), "b": ("2",)}, {"a": "1", "b": "2"}, True),
        ({"a": ("1",), "b": ("2",)}, {"a": "1"}, False),
    ],
)
def test_required_claims_pin_what_a_shared_issuer_says(
    ring: Ring, required: dict[str, tuple[str, ...]], claims: dict[str, Any], passes: bool
) -> None:
    """All of them, each with one of its values: text, or a list that holds it."""
    issuer = issuer_with(required_claims=required)
    payload = json.dumps(claims_with() | claims).encode()
    token = ring.rsa_a.sign_parts(b'{"alg":"RS256","kid":"rsa-a"}', payload)
    if passes:
        assert believed(token, ring.rsa_a, issuer).subject == "airflow:worker"
    else:
        refusal = refusal_of(token, ring.rsa_a, issuer)
        assert refusal.reason is Reason.TOKEN_CLAIMS
        assert "`required_claims`" in refusal.message


def test_a_null_dag_claim_is_not_an_absent_one(ring: Ring) -> None:
    """JSON null does not fall through to what the request claims."""
    payload = json.dumps(claims_with() | {"dag_id": None}).encode()
    token = ring.rsa_a.sign_parts(b'{"alg":"RS256","kid":"rsa-a"}', payload)
    assert refusal_of(token, ring.rsa_a).reason is Reason.TOKEN_CLAIMS


@pytest.mark.parametrize(
    ("path", "claims"),
    [
        ("https://airflow.test/dag.id", {"https://airflow.test/dag.id": "d"}),
        ("airflow.dag", {"airflow": {"dag": "d"}}),
        ("airflow.dag", {"airflow.dag": "d", "airflow": {"dag": "other"}}),
        ("kubernetes.io.pod.name", {"kubernetes.io": {"pod": {"name": "d"}}}),
    ],
)
def test_claim_paths_find_whole_names_first(ring: Ring, path: str, claims: dict[str, Any]) -> None:
    """Dots walk into objects, unless a claim has them in its own name."""
    issuer = issuer_with(claims={"dag_id": path})
    assert believed(ring.rsa_a.token(claims_with(dag_id=None, **claims)), ring.rsa_a, issuer).claims == {"dag_id": "d"}


@pytest.mark.parametrize("claims", [{}, {"airflow": "text"}, {"airflow": {}}, {"airflow": {"dag_": "x"}}])
def test_an_absent_claim_stays_absent(ring: Ring, claims: dict[str, Any]) -> None:
    """No claim, no entry."""
    issuer = issuer_with(claims={"dag_id": "airflow.dag"})
    assert believed(ring.rsa_a.token(claims_with(dag_id=None, **claims)), ring.rsa_a, issuer).claims == {}


# ----------------------------------------------------------------------------------------- any bytes


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_read_or_refused(data: bytes) -> None:
    """Nothing but a Refusal comes out of the reader."""
    with suppress(Refusal):
        read_token(data)


@settings(deadline=None)
@given(st.binary(max_size=120), st.binary(max_size=120), st.binary(max_size=60))
def test_arbitrary_segments_are_read_or_refused(header: bytes, payload: bytes, signature: bytes) -> None:
    """Nothing but a Refusal comes out of well-formed segments with any content."""
    with suppress(Refusal):
        read_token(b".".join(encoded(part) for part in (header, payload, signature)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda s: st.lists(s, max_size=4) | st.dictionaries(st.text(max_size=5), s, max_size=4),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["iss", "aud", "exp", "iat", "nbf", "sub", "jti", "dag_id", "try_number"]), JSON, min_size=1)
)
def test_arbitrary_claims_are_believed_or_refused(changes: dict[str, Any]) -> None:
    """A signed token with any JSON in its claims gives a Subject or a Refusal, never a crash."""
    payload = json.dumps(claims_with() | changes).encode()
    with suppress(Refusal):
        unverified = read_token(b".".join([encoded(b'{"alg":"ES256"}'), encoded(payload), b"AAAA"]))
        check(unverified, issuer_of(unverified, (issuer_with(),)), VerifyKey("", frozenset({"RS256"}), (), None), NOW)
