"""`~/.aws` on a worker, as boto3 reads it: what a profile says of endpoint and token, and what in it takes requests elsewhere.

Standard library only; nothing is run, and no key is shown.
"""

from __future__ import annotations

import configparser
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Section(NamedTuple):
    """A profile's section in one of the two files."""

    path: Path
    parsed: configparser.RawConfigParser
    name: str

    def __str__(self) -> str:
        return f"{self.path} [{self.name}]"

    def says(self, key: str) -> str:
        """The value of a key, or ""."""
        return self.parsed.get(self.name, key, fallback="")


def sections(environment: Mapping[str, str], profile: str) -> Iterator[Section]:
    """The profile in `config`, then in `credentials`; files that cannot be read are left out."""
    for variable, file, name in (
        ("AWS_CONFIG_FILE", "~/.aws/config", "default" if profile == "default" else f"profile {profile}"),
        ("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", profile),
    ):
        path = Path(environment.get(variable, file)).expanduser()
        parsed = configparser.RawConfigParser()
        try:
            parsed.read_string(path.read_text(encoding="utf-8"), source=str(path))
        except (OSError, UnicodeError, configparser.Error):
            continue
        if parsed.has_section(name):
            yield Section(path, parsed, name)


def endpoint_of_profile(environment: Mapping[str, str], profile: str) -> tuple[str, str]:
    """(DynamoDB's URL, where it stands): that of the profile's `services` before its own; empty strings for none."""
    for section in sections(environment, profile):
        of_dynamodb = section.parsed.get(f"services {section.says('services')}", "dynamodb", fallback="")
        for line in of_dynamodb.splitlines():
            key, _, value = line.partition("=")
            if key.strip() == "endpoint_url":
                return value.strip(), str(section)
        if found := section.says("endpoint_url"):
            return found, str(section)
    return "", ""


def token_of_profile(environment: Mapping[str, str], profile: str) -> tuple[str | Path, str]:
    """(Token, or the file that `dynamodb-proxy token --file` reads it from; where that stands); empty strings for none."""
    for section in sections(environment, profile):
        if said := section.says("aws_session_token"):
            return said, str(section)
        try:
            words = shlex.split(section.says("credential_process"))
        except ValueError:
            continue
        if "token" in words and words[-2:-1] == ["--file"]:
            return Path(words[-1]), str(section)
    return "", ""


def stale_profile(environment: Mapping[str, str], profile: str) -> tuple[str, str]:
    """(Section, key) of keys, roles or processes, which win over container credentials without a word; else empty strings."""
    for section in sections(environment, profile):
        is_gateways = (
            section.says("services") or section.says("endpoint_url") or section.says("aws_session_token").count(".") == 2
        )
        for key in ("aws_access_key_id", "credential_process", "role_arn", "sso_session"):
            if section.says(key) and not is_gateways:
                return str(section), key
    return "", ""
