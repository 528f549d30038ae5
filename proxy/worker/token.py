"""`dynamodb-proxy token`: the worker's token as a `credential_process` of the AWS SDKs hands it over.

boto3 runs it again before the token expires, so that tasks outlive tokens without a change to any DAG. The token stands in a
file that somebody renews (Kubernetes, spiffe-helper), or is fetched by `proxy.worker.token_sources`. Standard library only.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

from proxy.worker.times import span
from proxy.worker.wire import expiry_of, flaw_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def hand_over(path: Path, out: TextIO, now: Callable[[], float] = time.time) -> int:
    """Print the token of `path` in the form that boto3 wants. Returns 0, or 1 with a sentence on standard error."""
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "not text"
        print(f"token file {path} cannot be read: {cause}; look at the volume mount and its mode", file=sys.stderr)
        return 1
    if flaw := flaw_of(token):
        print(f"token file {path} holds no JWT ({flaw})", file=sys.stderr)
        return 1
    if (expires := expiry_of(token)) is not None and expires <= now():  # boto3 would say that they "are still expired"
        ago = span(now() - expires)
        print(f"the token in {path} expired {ago} ago; look at who renews it, and at this machine's clock", file=sys.stderr)
        return 1
    return _print(token, out)


def fetch_over(options: Mapping[str, Any], out: TextIO) -> int:
    """Print a token of the source that `options` name, kept until it is time for the next. Returns as `hand_over` does."""
    from proxy.worker.token_cache import cached_token, default_file
    from proxy.worker.token_sources import NoToken, source_of

    try:
        source = source_of(options)
        return _print(cached_token(options["cache"] or default_file(source), source.fetch), out)
    except NoToken as failure:
        print(failure, file=sys.stderr)
        return 1


def _print(token: str, out: TextIO) -> int:
    answer = {
        "Version": 1,
        "AccessKeyId": "DDBPROXYTOKEN",  # any text will do: the session token is the credential
        "SecretAccessKey": "unused",
        "SessionToken": token,
    }
    if (expires := expiry_of(token)) is not None:
        answer["Expiration"] = datetime.fromtimestamp(expires, UTC).isoformat(timespec="seconds")
    print(json.dumps(answer), file=out)
    return 0
