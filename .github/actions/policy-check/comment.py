"""Checks the policies of a pull request, compares them with those of its base, and comments both in one comment.

Reads GitHub's variables and event file; runs git and `dynamodb-proxy` without a shell. The comment is found again by its mark
and written anew. Where no comment may be written (a fork's token), the run's summary has the same. The exit status is that of
`check`: a difference is for people to judge.
"""

# ruff: noqa: S603 - no shell, and what comes from outside is never the first word

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

MARK = "<!-- dynamodb-proxy policy-check -->"
LONGEST = 60_000  # GitHub takes 65,536 characters in a comment
_SHA = re.compile(r"[0-9a-f]{40,64}")
_SECONDS = 30


def proxy(*arguments: str) -> subprocess.CompletedProcess[str]:
    """One command of the gateway's, with what it printed. -P: a `proxy` folder of the pull request is not run in its place."""
    return subprocess.run([sys.executable, "-P", "-m", "proxy", *arguments], capture_output=True, text=True, check=False)


def base_policies(sha: str, folder: str, into: Path) -> bool:
    """Write the policies of the base below `into`; False where it has none."""
    if not _SHA.fullmatch(sha):
        return False
    git = ["git", "-c", "safe.directory=*"]
    subprocess.run([*git, "fetch", "--quiet", "--no-tags", "--depth=1", "origin", sha], check=False)
    listed = subprocess.run([*git, "ls-tree", "-z", "--name-only", f"{sha}:{folder}"], capture_output=True, check=False)
    names = [name.decode("utf-8", "replace") for name in listed.stdout.split(b"\0") if name.endswith((b".yaml", b".yml"))]
    for name in names:
        shown = subprocess.run([*git, "show", f"{sha}:{folder}/{name}"], capture_output=True, check=True)
        (into / Path(name).name).write_bytes(shown.stdout)
    return bool(names)


def difference(folder: str, sha: str) -> tuple[str, bool]:
    """What changes, in Markdown, and whether anything does."""
    with tempfile.TemporaryDirectory() as directory:
        if not base_policies(sha, folder, Path(directory)):
            return "The base has no policies to compare with.", True
        done = proxy("diff", "--format", "markdown", directory, folder)
    if done.returncode not in (0, 1):
        return f"The two versions cannot be compared:\n\n{fenced(done.stderr.replace(directory, 'base'))}", True
    return done.stdout.strip(), done.returncode == 1


def fenced(text: str) -> str:
    """Text as it is: the fence is longer than any in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text.strip()}\n{fence}"


def body_of(checked: str, status: int, changes: str) -> str:
    """The whole comment."""
    verdict = "good" if status == 0 else "**not good**"
    text = f"{MARK}\n### Policies: {verdict}\n\n{fenced(checked)}\n\n### Decisions gained and lost\n\n{changes}\n"
    return text if len(text) <= LONGEST else text[:LONGEST] + "\n\n... cut; run `dynamodb-proxy diff` for all of it\n"


def call(method: str, url: str, token: str, body: object = None) -> object:
    """One call of GitHub's API. Raises OSError."""
    headers = {
        "authorization": f"Bearer {token}",
        "accept": "application/vnd.github+json",
        "content-type": "application/json",
        "x-github-api-version": "2022-11-28",
    }
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - the API's own address
    with urllib.request.urlopen(request, timeout=_SECONDS) as reply:  # noqa: S310 - the same
        return json.loads(reply.read())


def comment(number: int, text: str) -> None:
    """Write the comment, in the place of an earlier one. Raises OSError."""
    api, repository, token = (os.environ[name] for name in ("GITHUB_API_URL", "GITHUB_REPOSITORY", "GITHUB_TOKEN"))
    comments = f"{api}/repos/{repository}/issues/{number}/comments"
    for page in range(1, 31):
        found = call("GET", f"{comments}?per_page=100&page={page}", token)
        if not isinstance(found, list) or not found:
            break
        for earlier in found:
            if str(earlier.get("body", "")).startswith(MARK) and earlier.get("user", {}).get("type") == "Bot":
                call("PATCH", f"{api}/repos/{repository}/issues/comments/{int(earlier['id'])}", token, {"body": text})
                return
    call("POST", comments, token, {"body": text})


def append(variable: str, text: str) -> None:
    """Add to one of the files that GitHub reads after the step."""
    if path := os.environ.get(variable):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)


def main() -> int:
    """Check, compare, comment. Returns the exit status of `check`."""
    event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
    folder = os.environ.get("POLICIES") or "policies"
    options = [*(["--strict"] if os.environ.get("STRICT") == "true" else [])]
    if tables := os.environ.get("TABLES"):
        options += ["--tables", tables]
    print(proxy("check", folder, "--format", "github", *options).stdout, end="")
    checked = proxy("check", folder, *options)
    pull = event.get("pull_request") or {}
    changes, is_changed = difference(folder, str(pull.get("base", {}).get("sha", "")))
    append("GITHUB_OUTPUT", f"changed={str(is_changed).lower()}\n")
    text = body_of(checked.stdout + checked.stderr, checked.returncode, changes)
    append("GITHUB_STEP_SUMMARY", text)
    if number := pull.get("number"):
        try:
            comment(int(number), text)
        except OSError as error:  # HTTPError is one
            status = f"status {error.code}" if isinstance(error, urllib.error.HTTPError) else "no answer"
            print(f"::warning::the comment could not be written ({status}); the summary of this run has it")
    return checked.returncode


if __name__ == "__main__":
    sys.exit(main())
