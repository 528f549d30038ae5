"""`issuers` of the settings: who may sign tokens, where their keys are, and what their tokens must say.

`ISSUER_KEYS` is the README's table. All mistakes are told, each with its line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.identity.token import Cluster, Issuer, KeySource
from proxy.setting_values import delay_of, file_of, problem_of_url, seconds_of, url_of
from proxy.yaml_source import Mapping, Mistakes, Node, Scalar, Sequence, boolean_of, known_keys, mapping_of, text_of, texts_of

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST_LEEWAY = 300.0  # seconds; more would keep expired tokens alive for no clock's sake
ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")

ISSUER_KEYS: tuple[tuple[str, str, str], ...] = (
    ("name", "required", "how policies and logs call this issuer"),
    ("issuer", "required", "the exact `iss` of its tokens"),
    ("audience", "required", "the `aud` that tokens for this gateway carry; a string or a list"),
    ("keys.discovery", "`issuer`", "base URL of its OpenID discovery"),
    ("keys.jwks_url", "", "or the URL of its key set"),
    ("keys.jwks_file", "", "or a file with its key set"),
    ("keys.ca_file", "the system's", "PEM bundle for these URLs; read again when it changes"),
    ("keys.token_file", "", "bearer token for the host of that URL, where it wants one; read again for each fetch"),
    ("algorithms", "[RS256]", "signature algorithms; asymmetric ones only"),
    ("claims", "{dag_id: dag_id, task_id: task_id, run_id: run_id}", "which claim holds what; dots reach into objects"),
    ("may_assert", "required", "globs of the DAGs that its tokens may speak for; `!glob` takes back"),
    ("required_type", "any", "the `typ` that tokens must have, such as `at+jwt`"),
    ("required_claims", "", "claims that tokens must have besides, such as `{repository_owner: acme}`: globs, or lists of them"),
    ("leeway_seconds", "60", "clock difference that is forgiven"),
    ("max_lifetime_seconds", "86400", "longest life of a token, `exp` minus `iat`"),
    ("kubernetes.api", "", "URL of the cluster's API server; where `keys` is not given, the keys are read there"),
    ("kubernetes.ca_file", "the system's", "PEM bundle for it; read again when it changes"),
    ("kubernetes.token_file", "", "the gateway's own service account token; read again for each question"),
    (
        "kubernetes.token_review",
        "false",
        "let the API server confirm each token (TokenReview): those of deleted pods end",
    ),
    ("kubernetes.pods", "false", "read the annotations of the token's pod, for `dag_from: [annotation]`"),
)
CLAIM_NAMES = ("dag_id", "task_id", "run_id", "try_number", "map_index")
DEFAULT_CLAIMS = {"dag_id": "dag_id", "task_id": "task_id", "run_id": "run_id"}


def issuers_of(node: Node, base: Path, mistakes: Mistakes) -> tuple[Issuer, ...]:
    """The issuers. `base` is what paths are relative to."""
    if not isinstance(node, Sequence) or not node.items:
        mistakes.add(node.place, "`issuers` must be a list with at least one issuer")
        return ()
    issuers: list[Issuer] = []
    for item in node:
        mapping = mapping_of(item, "an issuer", mistakes)
        if mapping is None:
            continue
        issuer = _issuer(mapping, base, mistakes)
        for other in issuers:
            if issuer.name and other.name == issuer.name:
                mistakes.add(mapping.place_of("name"), f"issuer name `{issuer.name}` stands twice")
            if issuer.issuer and other.issuer == issuer.issuer:
                mistakes.add(mapping.place_of("issuer"), f"`{issuer.issuer}` is already issuer `{other.name}`")
        issuers.append(issuer)
    return tuple(issuers)


def _issuer(mapping: Mapping, base: Path, mistakes: Mistakes) -> Issuer:
    known_keys(mapping, tuple(dict.fromkeys(key.split(".")[0] for key, _, _ in ISSUER_KEYS)), "an issuer", mistakes)
    issuer = text_of(mapping.get("issuer"), "`issuer`", mistakes)
    algorithms = texts_of(mapping.get("algorithms"), "`algorithms`", mistakes) or ("RS256",)
    for algorithm in algorithms:
        if algorithm not in ASYMMETRIC:
            mistakes.add(mapping.place_of("algorithms"), f"algorithm `{algorithm}` is not one of {', '.join(ASYMMETRIC)}")
    cluster = _cluster(mapping, base, mistakes)
    read = Issuer(
        name=text_of(mapping.get("name"), "`name`", mistakes),
        issuer=issuer,
        audiences=_audiences(mapping.get("audience"), mistakes),
        algorithms=algorithms,
        keys=_key_source(mapping, issuer, cluster, base, mistakes),
        claims=_claims(mapping.get("claims"), mistakes),
        may_assert=texts_of(mapping.get("may_assert"), "`may_assert`", mistakes),
        required_type=text_of(mapping.get("required_type"), "`required_type`", mistakes),
        leeway=_leeway(mapping.get("leeway_seconds"), mistakes),
        max_lifetime=_lifetime(mapping.get("max_lifetime_seconds"), mistakes),
        required_claims=_required_claims(mapping.get("required_claims"), mistakes),
        cluster=cluster,
    )
    _require(mapping, {"name": read.name, "issuer": issuer, "audience": read.audiences, "may_assert": read.may_assert}, mistakes)
    return read


def _require(mapping: Mapping, values: dict[str, str | tuple[str, ...]], mistakes: Mistakes) -> None:
    """Neither absent nor empty, nor with an empty entry. What is of another form has been told already."""
    meanings = {key: meaning for key, _, meaning in ISSUER_KEYS}
    for key, value in values.items():
        node = mapping.get(key)
        if node is None:
            mistakes.add(mapping.place, f"issuer without `{key}`: {meanings[key]}")
        elif (isinstance(node, Sequence) and not value) or (isinstance(node, Scalar) and node.quoted and not node.text):
            mistakes.add(mapping.place_of(key), f"`{key}` is empty: {meanings[key]}")
        elif isinstance(node, Sequence) and any(isinstance(item, Scalar) and item.quoted and not item.text for item in node):
            mistakes.add(mapping.place_of(key), f"an entry of `{key}` is empty; remove it")


def _leeway(node: Node | None, mistakes: Mistakes) -> float:
    leeway = 60.0 if node is None else delay_of(node, "leeway_seconds", mistakes)
    if node is not None and leeway > _LONGEST_LEEWAY:
        mistakes.add(node.place, f"`leeway_seconds` must be {_LONGEST_LEEWAY:g} at most: set the clocks instead")
    return leeway


def _lifetime(node: Node | None, mistakes: Mistakes) -> float:
    return 86400.0 if node is None else seconds_of(node, "max_lifetime_seconds", mistakes)


def _audiences(node: Node | None, mistakes: Mistakes) -> tuple[str, ...]:
    if isinstance(node, Sequence):
        return texts_of(node, "`audience`", mistakes)
    text = text_of(node, "`audience`", mistakes)
    return (text,) if text else ()


def _claims(node: Node | None, mistakes: Mistakes) -> dict[str, str]:
    mapping = mapping_of(node, "`claims`", mistakes)
    if mapping is None:
        return dict(DEFAULT_CLAIMS)
    known_keys(mapping, CLAIM_NAMES, "`claims`", mistakes)
    claims = {name: text_of(value, f"`claims.{name}`", mistakes) for name, value in mapping.entries.items()}
    for name, claim in claims.items():
        value = mapping.entries[name]
        if not claim and isinstance(value, Scalar) and value.quoted:
            mistakes.add(value.place, f"`claims.{name}` is empty; name a claim, or leave it out")
    return claims


def _required_claims(node: Node | None, mistakes: Mistakes) -> dict[str, tuple[str, ...]]:
    mapping = mapping_of(node, "`required_claims`", mistakes)
    if mapping is None:
        return {}
    required = {}
    for path, value in mapping.entries.items():
        what = f"`required_claims.{path}`"
        patterns = texts_of(value, what, mistakes) if isinstance(value, Sequence) else (text_of(value, what, mistakes),)
        if not any(pattern and not pattern.startswith("!") for pattern in patterns):
            mistakes.add(value.place, f"{what} can be met by no token; name the values that it may have")
        required[path] = patterns
    return required


def _cluster(issuer_mapping: Mapping, base: Path, mistakes: Mistakes) -> Cluster | None:
    said = mapping_of(issuer_mapping.get("kubernetes"), "`kubernetes`", mistakes)
    if said is None:
        return None
    known_keys(said, ("api", "ca_file", "token_file", "token_review", "pods"), "`kubernetes`", mistakes)
    api = url_of(said.entries["api"], "kubernetes.api", mistakes) if "api" in said else ""
    if not api:
        mistakes.add(said.place, "`kubernetes` without `api`: URL of the cluster's API server")
    if "keys" in issuer_mapping and "token_review" not in said and "pods" not in said:
        mistakes.add(said.place, "`kubernetes` is asked nothing: add `token_review` or `pods`, or leave `keys` out")
    return Cluster(
        api=api,
        ca_file=file_of(said.get("ca_file"), "`kubernetes.ca_file`", base, mistakes),
        token_file=file_of(said.get("token_file"), "`kubernetes.token_file`", base, mistakes),
        token_review="token_review" in said and boolean_of(said.entries["token_review"], "`kubernetes.token_review`", mistakes),
        pods="pods" in said and boolean_of(said.entries["pods"], "`kubernetes.pods`", mistakes),
    )


def _key_source(issuer_mapping: Mapping, issuer: str, cluster: Cluster | None, base: Path, mistakes: Mistakes) -> KeySource:
    keys = mapping_of(issuer_mapping.get("keys"), "`keys`", mistakes)
    place = issuer_mapping.place_of("keys")
    if keys is not None:
        known_keys(keys, ("discovery", "jwks_url", "jwks_file", "ca_file", "token_file"), "`keys`", mistakes)
    elif cluster is not None:  # not by discovery: the document may name an address that only the cluster's nodes reach
        return KeySource("jwks_url", cluster.api + "/openid/v1/jwks", cluster.ca_file, cluster.token_file)
    ca_file = file_of(keys.get("ca_file"), "`keys.ca_file`", base, mistakes) if keys is not None else ""
    token_file = file_of(keys.get("token_file"), "`keys.token_file`", base, mistakes) if keys is not None else ""
    given = [kind for kind in ("discovery", "jwks_url", "jwks_file") if keys is not None and kind in keys]
    if keys is None or not given:
        if issuer and (problem := problem_of_url(issuer)):
            mistakes.add(place, f"keys cannot be discovered at `issuer`: {problem}; or give `keys`")
        return KeySource("discovery", issuer, ca_file, token_file)
    if len(given) > 1:
        mistakes.add(place, f"`keys` must hold one of discovery, jwks_url and jwks_file, and has {' and '.join(given)}")
    kind, node = given[0], keys.entries[given[0]]
    is_file = kind == "jwks_file"
    location = file_of(node, "`keys.jwks_file`", base, mistakes) if is_file else url_of(node, f"keys.{kind}", mistakes)
    if not location and isinstance(node, Scalar) and node.quoted:
        mistakes.add(node.place, f"`keys.{kind}` is empty; name it, or leave it out")
    return KeySource("jwks_file" if is_file else "jwks_url" if kind == "jwks_url" else "discovery", location, ca_file, token_file)
