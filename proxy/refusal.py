"""The ways to say no: a closed list of reasons, and one exception for each kind of refusal.

One spelling of a reason serves log, metric label, audit field, response header and test. A refusal knows its own answer:
status and error name as DynamoDB itself would give them (decision 7: 400 for what the client can mend, 500 when the outcome
is unknown, 503 when nothing was sent), so that every AWS SDK treats it as it treats DynamoDB.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, Self

_CORAL = "com.amazon.coral.service#"
_AVAILABILITY = "com.amazon.coral.availability#"
_DYNAMODB = "com.amazonaws.dynamodb.v20120810#"


class Reason(StrEnum):
    """Every reason that a decision can have. `ALLOWED` and `OBSERVED` are the only ones that let a request through."""

    ALLOWED = "allowed"
    OBSERVED = "observed"  # the policy says no, and is told so, but only watches yet (platform.yaml, `mode: observe`)
    # the edge
    MALFORMED_REQUEST = "malformed_request"
    UNSUPPORTED_ROUTE = "unsupported_route"
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    OVERLOADED = "overloaded"
    PLAINTEXT_TO_TLS = "plaintext_to_tls"
    # who
    NO_TOKEN = "no_token"  # noqa: S105 - the name of a reason
    SEVERAL_TOKENS = "several_tokens"
    AWS_KEYS = "aws_keys"
    TOKEN_MALFORMED = "token_malformed"  # noqa: S105 - the name of a reason
    TOKEN_NEWLINE = "token_newline"  # noqa: S105 - the name of a reason
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - the name of a reason
    TOKEN_NOT_YET_VALID = "token_not_yet_valid"  # noqa: S105 - the name of a reason
    TOKEN_CLAIMS = "token_claims"  # noqa: S105 - the name of a reason
    WRONG_AUDIENCE = "wrong_audience"
    UNKNOWN_ISSUER = "unknown_issuer"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    KEYS_UNAVAILABLE = "keys_unavailable"
    TOKEN_REVOKED = "token_revoked"  # noqa: S105 - the name of a reason
    CLUSTER_UNAVAILABLE = "cluster_unavailable"
    NO_DAG_CLAIM = "no_dag_claim"
    CONFLICTING_CLAIMS = "conflicting_claims"
    NOT_ENTITLED = "not_entitled"
    # who, by a session that the gateway minted
    SESSION_INVALID = "session_invalid"
    SESSION_EXPIRED = "session_expired"
    SIGNATURE_INCOMPLETE = "signature_incomplete"
    SIGNATURE_EXPIRED = "signature_expired"
    SIGNATURE_MISMATCH = "signature_mismatch"
    UNKNOWN_ROLE = "unknown_role"
    OUTSIDE_ROLE = "outside_role"
    STS_REQUEST = "sts_request"
    # stopped by hand
    DAG_STOPPED = "dag_stopped"
    TEAM_STOPPED = "team_stopped"
    ISSUER_STOPPED = "issuer_stopped"
    TOKEN_STOPPED = "token_stopped"  # noqa: S105 - the name of a reason
    # what
    UNREADABLE_BODY = "unreadable_body"
    UNKNOWN_OPERATION = "unknown_operation"
    UNSUPPORTED_OPERATION = "unsupported_operation"
    # may they
    UNKNOWN_DAG = "unknown_dag"
    NO_RULE = "no_rule"
    DENIED_BY_RULE = "denied_by_rule"
    OUTSIDE_KEYS = "outside_keys"
    OUTSIDE_ATTRIBUTES = "outside_attributes"
    REQUIREMENT_NOT_MET = "requirement_not_met"
    OUTSIDE_BOUNDARY = "outside_boundary"
    FOREIGN_TABLE = "foreign_table"
    FOREIGN_ITERATOR = "foreign_iterator"
    # as whom, signed how, sent where
    ROLE_NOT_ASSUMABLE = "role_not_assumable"
    CREDENTIALS_UNAVAILABLE = "credentials_unavailable"
    CREDENTIALS_REFUSED = "credentials_refused"
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    UPSTREAM_BROKEN = "upstream_broken"
    AUDIT_UNAVAILABLE = "audit_unavailable"
    INTERNAL_ERROR = "internal_error"


class Answer(NamedTuple):
    """How a reason is answered, and what it means for the person who reads it."""

    status: int
    error: str  # `__type` of the body
    meaning: str  # one line of the README's table of reasons


_DENIED = _CORAL + "AccessDeniedException"
_UNRECOGNIZED = _CORAL + "UnrecognizedClientException"
_UNAVAILABLE = _CORAL + "ServiceUnavailableException"

ANSWERS: dict[Reason, Answer] = {
    Reason.MALFORMED_REQUEST: Answer(
        400, _CORAL + "SerializationException", "framing or headers that an AWS SDK never sends; the connection is closed"
    ),
    Reason.UNSUPPORTED_ROUTE: Answer(
        400, _CORAL + "UnknownOperationException", "neither DynamoDB's JSON, nor an STS form, nor the credentials route"
    ),
    Reason.TOO_LARGE: Answer(413, _CORAL + "RequestEntityTooLargeException", "head or body over the configured limit"),
    Reason.TOO_SLOW: Answer(400, _CORAL + "RequestTimeoutException", "head or body did not arrive in time"),
    Reason.OVERLOADED: Answer(
        400, _AVAILABILITY + "ThrottlingException", "the gateway is at its own limit of connections or bytes; the SDK backs off"
    ),
    Reason.PLAINTEXT_TO_TLS: Answer(400, _CORAL + "SerializationException", "`http://` was spoken to a port that serves TLS"),
    Reason.NO_TOKEN: Answer(
        400,
        _CORAL + "MissingAuthenticationTokenException",
        "no token where the route wants one: `Authorization`, `X-DAG-Token`, `X-Amz-Security-Token` or `WebIdentityToken`",
    ),
    Reason.SEVERAL_TOKENS: Answer(400, _UNRECOGNIZED, "tokens in more than one channel; exactly one is read"),
    Reason.AWS_KEYS: Answer(400, _UNRECOGNIZED, "signed with real AWS keys instead of a token for the gateway"),
    Reason.TOKEN_MALFORMED: Answer(400, _UNRECOGNIZED, "not a signed JWT in compact form"),
    Reason.TOKEN_NEWLINE: Answer(400, _UNRECOGNIZED, "the token holds a line break or other white space"),
    Reason.TOKEN_EXPIRED: Answer(400, _CORAL + "ExpiredTokenException", "the token's `exp` has passed"),
    Reason.TOKEN_NOT_YET_VALID: Answer(400, _UNRECOGNIZED, "`nbf` or `iat` lies in the future: look at the clocks"),
    Reason.TOKEN_CLAIMS: Answer(400, _UNRECOGNIZED, "a required claim is missing, of the wrong type, or out of its range"),
    Reason.WRONG_AUDIENCE: Answer(400, _UNRECOGNIZED, "the token is meant for another service"),
    Reason.UNKNOWN_ISSUER: Answer(400, _UNRECOGNIZED, "no configured issuer has this `iss`"),
    Reason.UNKNOWN_KEY: Answer(400, _UNRECOGNIZED, "the issuer publishes no key with this `kid`"),
    Reason.BAD_SIGNATURE: Answer(400, _UNRECOGNIZED, "the signature or algorithm does not fit the issuer's keys"),
    Reason.KEYS_UNAVAILABLE: Answer(503, _UNAVAILABLE, "the issuer's keys cannot be had; nothing was sent"),
    Reason.TOKEN_REVOKED: Answer(400, _UNRECOGNIZED, "the cluster does not stand behind the token: its pod or account is gone"),
    Reason.CLUSTER_UNAVAILABLE: Answer(
        503, _UNAVAILABLE, "the Kubernetes API that must confirm a token or its pod cannot be asked; nothing was sent"
    ),
    Reason.NO_DAG_CLAIM: Answer(400, _DENIED, "the caller is known, but nothing says for which DAG it speaks"),
    Reason.CONFLICTING_CLAIMS: Answer(400, _DENIED, "two sources name different DAGs"),
    Reason.NOT_ENTITLED: Answer(400, _DENIED, "the caller may not speak for this DAG"),
    Reason.SESSION_INVALID: Answer(
        400, _UNRECOGNIZED, "not a session of this gateway: forged, cut, or sealed with a key that is gone; log in again"
    ),
    Reason.SESSION_EXPIRED: Answer(400, _CORAL + "ExpiredTokenException", "the session is over; the SDK logs in again by itself"),
    Reason.SIGNATURE_INCOMPLETE: Answer(
        400, _CORAL + "IncompleteSignatureException", "a session's request is not signed, or not all of it that must be"
    ),
    Reason.SIGNATURE_EXPIRED: Answer(
        400, _CORAL + "InvalidSignatureException", "signed more than 15 minutes ago, or ahead: look at the clocks"
    ),
    Reason.SIGNATURE_MISMATCH: Answer(
        400, _CORAL + "InvalidSignatureException", "signed with another secret than the session's, or changed on its way"
    ),
    Reason.UNKNOWN_ROLE: Answer(400, _DENIED, "a role was asked for that no DAG of the policies has"),
    Reason.OUTSIDE_ROLE: Answer(400, _DENIED, "the session was assumed for the role of another DAG"),
    Reason.STS_REQUEST: Answer(
        400, _CORAL + "ValidationException", "an STS call with parameters that the gateway does not serve"
    ),
    Reason.DAG_STOPPED: Answer(400, _DENIED, "the deny list stops this DAG"),
    Reason.TEAM_STOPPED: Answer(400, _DENIED, "the deny list stops this DAG's team"),
    Reason.ISSUER_STOPPED: Answer(400, _DENIED, "the deny list stops the tokens of this issuer, and sessions made from them"),
    Reason.TOKEN_STOPPED: Answer(400, _DENIED, "the deny list stops this token or session"),
    Reason.UNREADABLE_BODY: Answer(400, _CORAL + "SerializationException", "the body is not the strict JSON of this operation"),
    Reason.UNKNOWN_OPERATION: Answer(400, _CORAL + "UnknownOperationException", "no DynamoDB operation of this name is known"),
    Reason.UNSUPPORTED_OPERATION: Answer(400, _DENIED, "a DynamoDB operation that the gateway does not serve yet"),
    Reason.UNKNOWN_DAG: Answer(400, _DENIED, "no policy file names this DAG"),
    Reason.NO_RULE: Answer(400, _DENIED, "no `allow` rule covers action, table and index"),
    Reason.DENIED_BY_RULE: Answer(400, _DENIED, "a `deny` rule covers it"),
    Reason.OUTSIDE_KEYS: Answer(400, _DENIED, "a rule allows it for other partition keys, or the request does not prove which"),
    Reason.OUTSIDE_ATTRIBUTES: Answer(
        400, _DENIED, "a rule allows it for other attributes than the request names or brings back"
    ),
    Reason.REQUIREMENT_NOT_MET: Answer(400, _DENIED, "a `require` rule asks for a shape that the request has not"),
    Reason.OUTSIDE_BOUNDARY: Answer(400, _DENIED, "a rule allows it, but the team's boundary does not reach that far"),
    Reason.FOREIGN_TABLE: Answer(400, _DENIED, "a table of another account or Region"),
    Reason.FOREIGN_ITERATOR: Answer(400, _DENIED, "a shard iterator or page key that the gateway did not give to this DAG"),
    Reason.ROLE_NOT_ASSUMABLE: Answer(400, _DENIED, "AWS does not let the gateway assume the DAG's role"),
    Reason.CREDENTIALS_UNAVAILABLE: Answer(503, _UNAVAILABLE, "STS cannot be reached or is failing; nothing was sent"),
    Reason.CREDENTIALS_REFUSED: Answer(
        503, _UNAVAILABLE, "DynamoDB refused the gateway's own signature or session; nothing was done"
    ),
    Reason.UPSTREAM_UNREACHABLE: Answer(503, _UNAVAILABLE, "no connection to DynamoDB; nothing was sent"),
    Reason.UPSTREAM_BROKEN: Answer(
        500, _DYNAMODB + "InternalServerError", "the connection broke after sending: the outcome is unknown"
    ),
    Reason.AUDIT_UNAVAILABLE: Answer(503, _UNAVAILABLE, "the audit sink does not take records, so nothing was sent"),
    Reason.INTERNAL_ERROR: Answer(500, _DYNAMODB + "InternalServerError", "a defect of the gateway; the log has the trace"),
}


class Refusal(Exception):
    """A request ends here. `message` is one line: cause first, then what to do; never a token, a key or an item value.

    Lower case, no final period, input in backticks or single quotes. The pipeline appends the decision id.
    """

    def __init__(self, reason: Reason, message: str, *, rule: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.rule = rule  # file:line of the rule that decided, if any

    @property
    def answer(self) -> Answer:
        """Status and error name of this refusal's reason."""
        return ANSWERS[self.reason]

    def again(self) -> Self:
        """A fresh one of the same content, for each who hears of it: one exception raised many times grows its traceback."""
        return type(self)(self.reason, self.message, rule=self.rule)


class Malformed(Refusal):
    """The edge could not make sense of the bytes. The connection is closed, for what follows cannot be trusted."""


class Unauthenticated(Refusal):
    """Nobody that we know is speaking."""


class Unreadable(Refusal):
    """What we cannot name we refuse."""


class Forbidden(Refusal):
    """Known, understood, and not allowed."""


class Throttled(Refusal):
    """Not now; the SDK backs off by itself."""


class Unavailable(Refusal):
    """Something that we need is away; nothing was sent."""


class Broken(Refusal):
    """It was sent, and nobody can say whether it was done. Never sent again by us."""


class Abandoned(Exception):
    """The caller went away before anything was sent."""
