"""Attacks on signed tokens, made anew for given keys, in the categories of Wycheproof's JWS vectors and some more.

Each vector says what must become of it: `None` for a token that must be believed (without these the others prove nothing), else
the reasons for which it may be refused. `vectors_for` is the whole list; a category is a function below or in `jws_signatures`.
"""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import get_default_algorithms

from proxy.refusal import Reason
from tests.unit.identity.keyring import SigningKey, encoded

MALFORMED = frozenset({Reason.TOKEN_MALFORMED})
SIGNATURE = frozenset({Reason.BAD_SIGNATURE})
CLAIMS = frozenset({Reason.TOKEN_CLAIMS})
KEY = frozenset({Reason.UNKNOWN_KEY})
GOOD = None


class Vector(NamedTuple):
    """One token. `expected` is None if it must be believed, else the reasons of which one must refuse it."""

    name: str  # category/algorithm/what
    token: bytes
    expected: frozenset[Reason] | None


@dataclass(frozen=True)
class Case:
    """What a category attacks: an honest key of the issuer, an attacker's of the same kind, and the claims of a good token."""

    key: SigningKey
    attacker: SigningKey
    claims: dict[str, Any]

    @property
    def header(self) -> dict[str, Any]:
        """The header of a good token."""
        return {"alg": self.key.algorithm, "typ": "JWT", "kid": self.key.kid}

    def signed(self, header: dict[str, Any] | None = None, claims: dict[str, Any] | None = None) -> bytes:
        """A token that the honest key signed, whatever the header says."""
        return self.raw(json.dumps(self.header if header is None else header), json.dumps(claims or self.claims))

    def raw(self, header: str | bytes, payload: str | bytes, key: SigningKey | None = None) -> bytes:
        """A token over exactly these texts."""
        first, second = (text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text for text in (header, payload))
        return (key or self.key).sign_parts(first, second)

    def parts(self) -> tuple[bytes, bytes, bytes]:
        """The segments of a good token."""
        header, payload, signature = self.signed().split(b".")
        return header, payload, signature


def honest_keys() -> tuple[SigningKey, ...]:
    """One key of each kind that an issuer may sign with; two share a key, as RSA does in practice."""
    of_rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return (
        SigningKey("rsa-a", "RS256", of_rsa),
        SigningKey("rsa-a", "PS256", of_rsa),
        SigningKey("ec-1", "ES256", ec.generate_private_key(ec.SECP256R1())),
        SigningKey("ec-384", "ES384", ec.generate_private_key(ec.SECP384R1())),
        SigningKey("ed", "EdDSA", ed25519.Ed25519PrivateKey.generate()),
    )


def key_set(keys: tuple[SigningKey, ...]) -> dict[str, Any]:
    """What the issuer publishes: each key once, for every algorithm that it fits."""
    return {"keys": list({key.kid: key.jwk(alg=None) for key in keys}.values())}


def vectors_for(keys: tuple[SigningKey, ...], attackers: tuple[SigningKey, ...], claims: dict[str, Any]) -> list[Vector]:
    """Every vector against every kind of key; what does not depend on the kind comes once."""
    from tests.unit.identity import jws_signatures

    cases = [Case(key, replace(attacker, kid=key.kid), claims) for key, attacker in zip(keys, attackers, strict=True)]
    per_key = (controls, none, confusion, embedded, critical, key_ids, jws_signatures.signatures, jws_signatures.curves)
    once = (serialisation, encoding, json_forms, types, times, claim_forms)
    found = []
    for category in (*per_key, *once):
        for case in cases if category in per_key else cases[:1]:
            found += [
                Vector(f"{category.__name__}/{case.key.algorithm}/{name}", token, expected)
                for name, token, expected in category(case)
            ]
    return found


Made = "Iterator[tuple[str, bytes, frozenset[Reason] | None]]"


def controls(case: Case) -> Made:
    """Tokens that are odd, and good."""
    good = case.header
    yield "plain", case.signed(), GOOD
    for name, header in {
        "no typ": {"alg": good["alg"], "kid": good["kid"]},
        "typ at+jwt": good | {"typ": "application/at+JWT"},
        "unknown members": good | {"x": 1, "x5t": "AAAA", "nonce": "n"},
        "embedded keys of nobody": good | {"jwk": {}, "jku": "https://idp.test/", "x5c": [], "x5u": ""},
        "members in another order": dict(reversed(good.items())),
    }.items():
        yield name, case.signed(header), GOOD
    yield "white space in JSON", case.raw(json.dumps(good, indent=2), " " + json.dumps(case.claims, indent=1) + "\n"), GOOD
    escaped = json.dumps(good).replace('"alg"', '"\\u0061lg"')
    yield "an escaped name", case.raw(escaped, json.dumps(case.claims)), GOOD
    yield "audience in a list", case.signed(claims=case.claims | {"aud": ["other", case.claims["aud"]]}), GOOD
    yield "unmapped claims of any shape", case.signed(claims=case.claims | {"x": {"y": [1, None, "\u00e9"]}}), GOOD


def none(case: Case) -> Made:
    """No signature at all, in every spelling (RFC 8725, 3.1)."""
    header, payload, signature = case.parts()
    for alg in ("none", "None", "NONE", "nOnE", "none ", "\u00adnone", "", "null", "undefined"):
        first = encoded(json.dumps(case.header | {"alg": alg}).encode())
        yield f"{alg!r} without a signature", first + b"." + payload + b".", MALFORMED
        yield f"{alg!r} with another's signature", first + b"." + payload + b"." + signature, SIGNATURE
    bare = encoded(b'{"alg":"none"}')
    yield "two segments", bare + b"." + payload, MALFORMED
    yield "signature AA", bare + b"." + payload + b".AA", SIGNATURE
    yield "no alg", case.signed({"kid": case.key.kid}), SIGNATURE
    yield "the signature taken away", header + b"." + payload + b".", MALFORMED


def _public_forms(key: SigningKey) -> dict[str, bytes]:
    public = key.private.public_key()
    forms = {
        "SPKI PEM": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "SPKI PEM without line break": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).strip(),
        "SPKI DER": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "JWK": json.dumps(key.jwk()).encode(),
        "JWK, short": json.dumps(key.jwk(), separators=(",", ":")).encode(),
    }
    if isinstance(public, rsa.RSAPublicKey):
        forms["PKCS1 PEM"] = public.public_bytes(Encoding.PEM, PublicFormat.PKCS1)
        forms["modulus"] = public.public_numbers().n.to_bytes(256)
    return forms


def confusion(case: Case) -> Made:
    """A public key as a shared secret, and one algorithm's signature under another's name (CVE-2015-9235, CVE-2016-10555)."""
    payload = encoded(json.dumps(case.claims).encode())
    secrets = _public_forms(case.key) | {"empty": b"", "kid": case.key.kid.encode(), "zero bytes": bytes(32)}
    for name, secret in secrets.items():
        for alg, digest in (("HS256", "sha256"), ("HS512", "sha512")):
            signed = encoded(json.dumps(case.header | {"alg": alg}).encode()) + b"." + payload
            yield f"{alg} by {name}", signed + b"." + encoded(hmac.digest(secret, signed, digest)), SIGNATURE
    for alg in ("RS256", "PS256", "ES256", "ES384", "EdDSA"):
        if alg != case.key.algorithm:
            expected = SIGNATURE if {alg, case.key.algorithm} == {"RS256", "PS256"} else KEY
            yield f"called {alg}", case.signed(case.header | {"alg": alg}), expected
    for alg in ("RS384", "RS512", "PS384", "ES512", "ES256K", "HS256", "dir", "A128KW", "RSA-OAEP", "Ed25519", "RS1"):
        yield f"called {alg}", case.signed(case.header | {"alg": alg}), SIGNATURE
    own = case.key.algorithm
    for alg in (
        own.lower(),
        own + " ",
        " " + own,
        own + "\0",
        own + ",none",
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
    ):
        if alg != own:
            yield f"spelled {alg!r}", case.signed(case.header | {"alg": alg}), SIGNATURE
    for alg in ([own], {"alg": own}, 256, True, None):
        yield f"alg {alg!r}", case.signed(case.header | {"alg": alg}), MALFORMED


def embedded(case: Case) -> Made:
    """The attacker's key in the header: it is never read, nor fetched (CVE-2018-0114)."""
    jwk = case.attacker.jwk()
    certificate = base64.b64encode(_public_forms(case.attacker)["SPKI DER"]).decode()
    members: dict[str, dict[str, Any]] = {
        "jwk": {"jwk": jwk},
        "jwk with private parts": {"jwk": jwk | {"d": "AQAB"}},
        "jwks": {"jwks": {"keys": [jwk]}},
        "jku": {"jku": "http://127.0.0.1:1/jwks"},
        "jku as data": {"jku": "data:application/json;base64," + base64.b64encode(json.dumps({"keys": [jwk]}).encode()).decode()},
        "jku to a file": {"jku": "file:///etc/passwd"},
        "x5u": {"x5u": "http://127.0.0.1:1/cert.pem"},
        "x5c": {"x5c": [certificate]},
        "x5t": {"x5t": "AAAA", "x5t#S256": "AAAA"},
        "iss in the header": {"iss": "https://evil.test"},
        "pem": {"pem": certificate, "key": certificate, "cert": certificate},
    }
    for name, member in members.items():
        attacked = replace(case, key=case.attacker)
        yield f"{name}, honest kid", attacked.signed(case.header | member), SIGNATURE
        yield f"{name}, own kid", attacked.signed(case.header | member | {"kid": "attackers"}), KEY
        yield f"{name}, no kid", attacked.signed({"alg": case.key.algorithm} | member), SIGNATURE


def critical(case: Case) -> Made:
    """Extensions that change what a signature means are refused, though the signature is right (RFC 7515, 4.1.11; RFC 7797)."""
    for crit in ([], ["exp"], ["b64"], ["x"], ["alg"], "b64", None, True, [None], ["b64", "b64"]):
        yield f"crit {crit!r}", case.signed(case.header | {"crit": crit, "b64": True, "exp": 1, "x": 1}), MALFORMED
    for b64 in (True, False, "false", None):
        yield f"b64 {b64!r} alone", case.signed(case.header | {"b64": b64}), MALFORMED
    yield "zip", case.signed(case.header | {"zip": "DEF"}), MALFORMED
    yield "enc", case.signed(case.header | {"enc": "A128GCM"}), MALFORMED
    header = encoded(json.dumps(case.header | {"crit": ["b64"], "b64": False}).encode())
    text = json.dumps(case.claims).encode()
    signed = header + b"." + text
    signature = encoded(get_default_algorithms()[case.key.algorithm].sign(signed, case.key.private))
    yield "b64 false, payload as it is", signed + b"." + signature, MALFORMED
    yield "b64 false, detached", header + b".." + signature, MALFORMED


def key_ids(case: Case) -> Made:
    """A key id selects among the issuer's own keys, by exact text, and does nothing else."""
    own = case.key.kid
    for kid in (
        own.upper(), own + " ", own + "\0", own + "/", own[:-1], "", "0", "../../../../dev/null", "/dev/null", "' OR '1'='1",
        "x' UNION SELECT 'key", "| id", "$(id)", "http://127.0.0.1:1/", "{{7*7}}", "\u202e" + own, "a" * 4000, "__proto__",
    ):  # fmt: skip
        yield f"{kid[:24]!r}", case.signed(case.header | {"kid": kid}), KEY
    for strange in (None, 0, True, [own], {"kid": own}):
        yield f"{strange!r}", case.signed(case.header | {"kid": strange}), MALFORMED
    other = "ec-1" if own != "ec-1" else "ec-384"
    yield "another honest key's", case.signed(case.header | {"kid": other}), KEY
    yield "the attacker's signature under an honest one", replace(case, key=case.attacker).signed(), SIGNATURE


def serialisation(case: Case) -> Made:
    """Anything but three segments is no token: no JSON form, nothing detached, encrypted, nested or joined."""
    header, payload, signature = case.parts()
    token = b".".join((header, payload, signature))
    h, p, s = (part.decode() for part in (header, payload, signature))
    for name, form in {
        "flattened": {"payload": p, "protected": h, "signature": s},
        "flattened with a header": {"payload": p, "protected": h, "header": {"kid": "x"}, "signature": s},
        "unprotected only": {"payload": p, "header": case.header, "signature": s},
        "general": {"payload": p, "signatures": [{"protected": h, "signature": s}]},
        "general, two": {"payload": p, "signatures": [{"protected": h, "signature": "AA"}, {"protected": h, "signature": s}]},
        "general, none": {"payload": p, "signatures": []},
        "in a list": [token.decode()],
        "as text": token.decode(),
    }.items():
        yield f"JSON {name}", json.dumps(form, separators=(",", ":")).encode(), MALFORMED
    for name, text in {
        "a dot at the end": token + b".",
        "a dot at the start": b"." + token,
        "two dots": header + b".." + payload + b"." + signature,
        "detached": header + b".." + signature,
        "no header": b"." + payload + b"." + signature,
        "header only": header,
        "dots only": b"..",
        "four segments": token + b"." + signature,
        "five segments": token + b"." + signature + b"." + signature,
        "six segments": token + b"." + token,
        "two tokens": token + b"," + token,
        "colons": token.replace(b".", b":"),
        "a percent-encoded dot": token.replace(b".", b"%2E"),
        "a full-width dot": header + "\uff0e".encode() + payload + b"." + signature,
        "~ of SD-JWT": token + b"~",
        "empty": b"",
    }.items():
        yield name, text, MALFORMED
    yield "segments swapped", b".".join((payload, header, signature)), CLAIMS  # two JSON objects, neither of which is claims
    inner = json.dumps(token.decode()).encode()
    yield "nested", case.raw(json.dumps(case.header | {"cty": "JWT"}), token), MALFORMED
    yield "nested as text", case.raw(json.dumps(case.header | {"cty": "JWT"}), inner), MALFORMED
    for text in ("[]", "null", "5", '"{}"', "true", "", "[{}]"):
        yield f"payload {text!r}", case.raw(json.dumps(case.header), text), MALFORMED
        yield f"header {text!r}", case.raw(text, json.dumps(case.claims)), MALFORMED
    yield "an empty object", case.raw(json.dumps(case.header), "{}"), CLAIMS
    yield "an empty header", case.raw("{}", json.dumps(case.claims)), SIGNATURE


def encoding(case: Case) -> Made:
    """One token has one spelling: url-safe base64, unpadded, canonical, nothing around or between (RFC 7515, 2)."""
    parts = case.parts()
    for place, segment in enumerate(("header", "payload", "signature")):
        part = parts[place]
        stray = part[:-1] + bytes([part[-1] ^ 1]) if len(part) % 4 == 0 else part[:-1] + _stray(part[-1])
        for name, changed in {
            "padded": part + b"=" * (-len(part) % 4 or 4),
            "one =": part + b"=",
            "two =": part + b"==",
            "a = within": part[:8] + b"=" + part[8:],
            "a line break at the end": part + b"\n",
            "CRLF within": part[:8] + b"\r\n" + part[8:],
            "a space within": part[:8] + b" " + part[8:],
            "a tab before": b"\t" + part,
            "a NUL at the end": part + b"\0",
            "an exclamation mark": part[:8] + b"!" + part[8:],
            "a plus": part[:8] + b"+" + part[9:],
            "a slash": part[:8] + b"/" + part[9:],
            "beyond ASCII": part[:8] + b"\xc3\xa9" + part[8:],
            "percent-encoded": b"%" + part[:1].hex().encode() + part[1:],
            "in quotes": b'"' + part + b'"',
            "twice encoded": encoded(part),
            "an A more": part + b"A" * (1 if len(part) % 4 == 0 else 4),
        }.items():
            yield f"{segment}: {name}", b".".join((*parts[:place], changed, *parts[place + 1 :])), _of_form(name, segment)
        if len(part) % 4:
            yield f"{segment}: stray bits", b".".join((*parts[:place], stray, *parts[place + 1 :])), MALFORMED
    token = b".".join(parts)
    for name, text in {
        "Bearer within": b"Bearer " + token,
        "line break after": token + b"\n",
        "space before": b" " + token,
        "quotes": b'"' + token + b'"',
        "byte-order mark": b"\xef\xbb\xbf" + token,
        "UTF-16": token.decode().encode("utf-16-le"),
    }.items():
        yield name, text, MALFORMED
    yield "over 16 KiB", token + b"A" * 16384, frozenset({Reason.TOO_LARGE})


def _stray(last: int) -> bytes:
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return alphabet[alphabet.index(last) | 1 : (alphabet.index(last) | 1) + 1]


def _of_form(name: str, segment: str) -> frozenset[Reason]:
    """What is well-formed and something else is caught by what it then says, or by its signature."""
    if name == "twice encoded":
        return SIGNATURE if segment == "signature" else MALFORMED
    return MALFORMED | SIGNATURE if name == "an A more" else MALFORMED


def json_forms(case: Case) -> Made:
    """Strict JSON: UTF-8, no member twice, nothing that two parsers read in two ways."""
    header, claims = json.dumps(case.header), json.dumps(case.claims)

    def more(text: str, member: str) -> str:
        return text[:-1] + "," + member + "}"

    def before(text: str, member: str) -> str:
        return "{" + member + "," + text[1:]

    for member in ('"alg":"none"', '"kid":"x"', '"typ":"x"', '"\\u0061lg":"none"'):
        yield f"header twice, last {member}", case.raw(more(header, member), claims), MALFORMED
        yield f"header twice, first {member}", case.raw(before(header, member), claims), MALFORMED
    for member in (
        '"dag_id":"other"', '"sub":"admin"', '"aud":"x"', '"iss":"https://evil.test"', '"exp":9999999999', '"iat":0',
        '"d\\u0061g_id":"other"', '"dag_id":"orders_dag"',
    ):  # fmt: skip
        yield f"payload twice, last {member}", case.raw(header, more(claims, member)), MALFORMED
        yield f"payload twice, first {member}", case.raw(header, before(claims, member)), MALFORMED
    for name, member in {
        "nested twice": '"x":{"y":1,"y":2}',
        "NaN": '"x":NaN',
        "Infinity": '"x":Infinity',
        "-Infinity": '"x":-Infinity',
        "a lone surrogate": '"x":"\\ud800"',
        "a control character": '"x":"\x01"',
        "too deep": '"x":' + "[" * 300 + "]" * 300,
        "a comment": '"x":1/* */',
        "single quotes": "'x':1",
        "a comma at the end": '"x":1,',
        "a bare word": "x:1",
        "a hexadecimal number": '"x":0x10',
        "a leading zero": '"x":012',
    }.items():
        yield name, case.raw(header, more(claims, member)), MALFORMED
    for name, payload in {
        "trailing data": claims + "{}",
        "trailing letters": claims + "x",
        "two lines": claims + "\n" + claims,
        "a byte-order mark": "\ufeff" + claims,
        "UTF-16": claims.encode("utf-16"),
        "UTF-16 without mark": claims.encode("utf-16-be"),
        "UTF-32": claims.encode("utf-32"),
        "Latin-1": more(claims, '"x":"\u00f6"').encode("latin-1"),
        "overlong UTF-8": more(claims, '"x":"?"').encode().replace(b"?", b"\xc0\xaf"),
        "a surrogate in UTF-8": more(claims, '"x":"\ud800"'),
        "a NUL at the end": claims + "\0",
        "cut": claims[:-1],
    }.items():
        yield name, case.raw(header, payload), MALFORMED


def types(case: Case) -> Made:
    """`typ` and `cty` are text; where an issuer demands a type there is a test of its own."""
    for value in (None, 5, True, ["JWT"], {"typ": "JWT"}):
        yield f"typ {value!r}", case.signed(case.header | {"typ": value}), MALFORMED
    for value in ("JWE", "secevent+jwt", "dpop+jwt", "", "j\u00fct"):
        yield f"typ {value!r}, nothing demanded", case.signed(case.header | {"typ": value}), GOOD
    yield "cty without nesting", case.signed(case.header | {"cty": "JWT"}), GOOD


def times(case: Case) -> Made:
    """Times are JSON numbers of seconds, in the years that exist, in order, and not too far apart."""
    now = case.claims["iat"]
    header, rest = json.dumps(case.header), {k: v for k, v in case.claims.items() if k not in ("exp", "iat", "nbf")}

    def with_times(exp: str, iat: str = str(now), nbf: str = str(now)) -> bytes:
        members = "".join(f',"{name}":{text}' for name, text in (("exp", exp), ("iat", iat), ("nbf", nbf)) if text)
        return case.raw(header, json.dumps(rest)[:-1] + members + "}")

    good = str(now + 900)
    for text in (good, good + ".0", good + ".999", f"{(now + 900) // 100}e2", f"{now + 900}E0"):
        yield f"exp {text}", with_times(text), GOOD
    yield "no nbf", with_times(good, nbf=""), GOOD
    strange = (
        f'"{good}"', f'" {good}"', '"\u0661\u0667\u0669\u0665\u0660\u0660\u0660\u0669\u0660\u0660"', '"1_7"', '""', '"x"',
        "true", "false", "null", "[]", f"[{good}]", "{}", f'{{"$date":{good}}}', "-1", f"-{good}", "1e308", "1e400", "9" * 400,
        "253402300800", "18446744073709551616", f"{good}000",
    )  # fmt: skip
    for text in strange:
        yield f"exp {text[:24]}", with_times(text), CLAIMS
        yield f"iat {text[:24]}", with_times(good, iat=text), CLAIMS
    for text in strange[:15]:
        yield f"nbf {text[:24]}", with_times(good, nbf=text), CLAIMS
    for text in (
        "NaN",
        "Infinity",
        "-Infinity",
        "+1",
        "0x6afdb0f4",
        "01795000900",
        "1_795_000_900",
        ".5",
        "1795000900.",
        "1795000900n",
    ):
        yield f"exp {text}", with_times(text), MALFORMED
    expired, early = frozenset({Reason.TOKEN_EXPIRED}), frozenset({Reason.TOKEN_NOT_YET_VALID})
    yield from (
        ("exp missing", with_times(""), CLAIMS),
        ("iat missing", with_times(good, iat=""), CLAIMS),
        ("expired", with_times(str(now - 61), str(now - 900), str(now - 900)), expired),
        ("expired at the leeway", with_times(str(now - 60), str(now - 900), str(now - 900)), expired),
        ("ends before it begins", with_times(str(now - 1), str(now)), CLAIMS),
        ("no time at all", with_times(str(now), str(now)), CLAIMS),
        ("longer than a day", with_times(str(now + 86401)), CLAIMS),
        ("ten years", with_times(str(now + 315_360_000)), CLAIMS),
        ("issued tomorrow", with_times(str(now + 90_000), str(now + 86_400)), early),
        ("not before later", with_times(good, nbf=str(now + 61)), early),
        ("in milliseconds", with_times(f"{good}000", f"{now}000", f"{now}000"), CLAIMS | early),
    )


def claim_forms(case: Case) -> Made:
    """Issuer, audience and subject are compared as they are: no prefix, list of lists, case or folding (CVE-2024-53861)."""
    iss, aud = case.claims["iss"], case.claims["aud"]
    audience, issuer = frozenset({Reason.WRONG_AUDIENCE}), frozenset({Reason.UNKNOWN_ISSUER})
    for value in (
        aud[:-1],
        aud + " ",
        aud.upper(),
        aud + "\0",
        "",
        "*",
        aud.replace("-", "\u2010"),
        [],
        [aud[:-1]],
        ["", aud + "x"],
    ):
        yield f"aud {value!r}", case.signed(claims=case.claims | {"aud": value}), audience if value != [] else CLAIMS
    for value in (None, 5, True, {aud: True}, [[aud]], [None, aud], [aud, 5], [{"aud": aud}]):
        yield f"aud {value!r}", case.signed(claims=case.claims | {"aud": value}), CLAIMS
    for value in (
        iss + "/",
        iss[:-1],
        iss.upper(),
        iss.replace("https", "http"),
        iss + "#",
        iss + "\0",
        " " + iss,
        "https://evil.test",
    ):
        yield f"iss {value!r}", case.signed(claims=case.claims | {"iss": value}), issuer
    for value in (None, 5, True, [iss], {"iss": iss}, ""):
        yield f"iss {value!r}", case.signed(claims=case.claims | {"iss": value}), CLAIMS
    for value in (None, 5, True, ["x"], {}, "", "a\nb", "a\0b", "\u202eadmin", "x" * 256):
        yield f"sub {str(value)[:8]!r}", case.signed(claims=case.claims | {"sub": value}), CLAIMS
    for value in (None, True, ["x"], {}, "", "a\nb", "x" * 251):
        yield f"dag_id {str(value)[:8]!r}", case.signed(claims=case.claims | {"dag_id": value}), CLAIMS
    for name in ("iss", "aud", "sub"):
        yield f"no {name}", case.signed(claims={k: v for k, v in case.claims.items() if k != name}), CLAIMS
