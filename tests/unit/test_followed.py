"""Files that are followed or written by the gateway itself: keys and the deny list."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from proxy.deny_file import DenyFile
from proxy.followed import FollowedFile, Unusable
from proxy.identity.denials import Denial, DenyList, written
from proxy.key_files import make_key_file, sealing_keys
from proxy.keyring import read_keys, written_key
from proxy.settings import load_settings
from proxy.trusted_files import deny_list_of, problem_of_files, session_keys_of
from tests.fake_aws import settings_in

if TYPE_CHECKING:
    from pathlib import Path


def names_in(folder: Path) -> list[str]:
    """What a folder holds."""
    return sorted(path.name for path in folder.iterdir())


def number(text: str) -> int:
    """A file's content. Raises ValueError."""
    return int(text)


def test_a_followed_file_tells_each_change_once(tmp_path: Path) -> None:
    """What is broken is told once, and the last good content stays; what comes back is a change again."""
    path = tmp_path / "number"
    path.write_text("1")
    file = FollowedFile(str(path), number)
    assert (file.current, file.look()) == (1, None)
    path.write_text("2")
    assert (file.look(), file.current, file.look()) == (2, 2, None)
    for broken, says in ((b"x", "invalid literal"), (b"\xff", "is not UTF-8")):
        path.write_bytes(broken)
        with pytest.raises(Unusable, match=says):
            file.look()
        assert (file.look(), file.current) == (None, 2)
    path.unlink()
    with pytest.raises(Unusable, match="No such file"):
        file.look()
    path.write_text("2")
    assert file.look() == 2


def test_a_followed_file_that_is_broken_at_the_start_is_none(tmp_path: Path) -> None:
    """There is nothing to fall back to."""
    with pytest.raises(Unusable, match="No such file"):
        FollowedFile(str(tmp_path / "number"), number)


def test_a_link_that_is_turned_is_a_change(tmp_path: Path) -> None:
    """As kubelet swaps a ConfigMap: the name stays, what it leads to changes."""
    for name, text in (("old", "1"), ("new", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "number").write_text(text)
    (tmp_path / "..data").symlink_to("old")
    (tmp_path / "number").symlink_to("..data/number")
    file = FollowedFile(str(tmp_path / "number"), number)
    (tmp_path / "..tmp").symlink_to("new")
    (tmp_path / "..tmp").replace(tmp_path / "..data")
    assert file.look() == 2


def test_a_key_file_is_made_once(tmp_path: Path) -> None:
    """For its owner's eyes; what is there stays, and nothing else is left behind."""
    path = tmp_path / "sessions.key"
    make_key_file(path)
    keys = sealing_keys(str(path), "", None)
    make_key_file(path)
    assert sealing_keys(str(path), "", None) == keys == read_keys(path.read_text())
    assert path.stat().st_mode & 0o777 == 0o600
    assert names_in(tmp_path) == ["sessions.key"]


def test_a_key_file_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    """A dangling link is somebody else's."""
    (tmp_path / "sessions.key").symlink_to(tmp_path / "nowhere")
    make_key_file(tmp_path / "sessions.key")
    assert names_in(tmp_path) == ["sessions.key"]
    with pytest.raises(OSError, match="No such file"):
        make_key_file(tmp_path / "no-folder" / "sessions.key")


def test_keys_without_a_file_are_shared_or_new(tmp_path: Path) -> None:
    """Workers of one process find the same; without any there is a new one each time."""
    (tmp_path / "shared.key").write_bytes(b"k" * 32)
    assert sealing_keys("", "shared.key", str(tmp_path)) == (b"k" * 32,)
    assert sealing_keys("", "shared.key", None) != sealing_keys("", "shared.key", None)


def test_the_deny_list_is_changed_in_place(tmp_path: Path) -> None:
    """An entry for the same takes the place of the one before; what is not there cannot be lifted; the mode stays."""
    path = tmp_path / "denied.yaml"
    path.write_text("denied: []\n")
    path.chmod(0o640)
    (tmp_path / "link").symlink_to(path)
    file = DenyFile(tmp_path / "link")
    file.add(Denial("dag", "a", "first"))
    file.add(Denial("team", "a"))
    assert file.add(Denial("dag", "a", "second", "ops")).denials == (Denial("team", "a"), Denial("dag", "a", "second", "ops"))
    assert file.lift("jti", "a") is None
    assert file.lift("team", "a") is not None
    assert file.read().denials == (Denial("dag", "a", "second", "ops"),)
    assert path.stat().st_mode & 0o777 == 0o640
    assert names_in(tmp_path) == ["denied.yaml", "link"]


def test_a_change_of_the_deny_list_is_told_once_it_is_made(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In log and audit, with who made it; of what could not be done nothing is told."""
    path, events = tmp_path / "denied.yaml", list[dict[str, str]]()
    path.write_text("denied: []\n")
    file = DenyFile(path, lambda name, **details: events.append({"event": name, **details}))
    file.add(Denial("dag", "a", "INC-1", "ops-1"))
    assert file.lift("dag", "b", "ops-2") is None
    file.lift("dag", "a", "ops-2")
    path.write_text("denied: [")
    for change in (lambda: file.add(Denial("dag", "c")), lambda: file.lift("dag", "c")):
        with pytest.raises(ValueError, match="is not valid YAML"):
            change()
    assert [record.message for record in caplog.records] == [
        "dag a (INC-1) is stopped by 'ops-1'",
        "dag a (INC-1) is lifted by 'ops-2'",
    ]
    assert events == [
        {"event": "switch", "stopped": "dag a (INC-1)", "by": "ops-1"},
        {"event": "switch", "lifted": "dag a (INC-1)", "by": "ops-2"},
    ]


def test_what_is_wrong_with_a_followed_file_names_it_once(tmp_path: Path) -> None:
    """At the start and on reload, whether the mistake has a line or not; keys have none."""
    settings_file, deny, keys = (tmp_path / name for name in ("proxy.yaml", "denied.yaml", "sessions.key"))
    deny.write_text("denied: []\n")
    keys.write_text(written_key(bytes(32)))
    settings_file.write_text(json.dumps(settings_in(tmp_path, "http://127.0.0.1:1", deny_list="denied.yaml")))
    settings = load_settings(settings_file, {})
    file = deny_list_of(settings)
    assert file is not None
    for text, says in (("", ": is empty; write `denied: []`"), ("denied: [a]", ":1: an entry of `denied` must be a mapping")):
        deny.write_text(text)
        with pytest.raises(Unusable) as caught:
            file.look()
        assert str(caught.value).startswith(f"{deny}{says}")
        assert problem_of_files(settings) == f"`deny_list`: {caught.value}"
        assert str(caught.value).count("denied.yaml") == 1
    keys.write_text("nonsense")
    with pytest.raises(Unusable, match=f"^{keys}: key 1 is not base64 of 32 bytes"):
        session_keys_of(str(keys))


def test_a_deny_list_does_not_grow_past_what_can_be_read(tmp_path: Path) -> None:
    """An entry that is written and in force nowhere would be taken for a kill switch."""
    path = tmp_path / "denied.yaml"
    path.write_text(before := written(DenyList(Denial("jti", f"{number:05d}" + "x" * 200) for number in range(4766))))
    with pytest.raises(ValueError, match="larger than"):
        DenyFile(path).add(Denial("dag", "orders_daily", "INC-4711: it loops"))
    assert path.read_text() == before
    assert names_in(tmp_path) == ["denied.yaml"]


def test_a_deny_list_that_cannot_be_read_is_left_alone(tmp_path: Path) -> None:
    """What somebody wrote by hand and broke is theirs to mend."""
    path = tmp_path / "denied.yaml"
    path.write_text("denied: [")
    with pytest.raises(ValueError, match=r"denied\.yaml:2: is not valid YAML"):
        DenyFile(path).add(Denial("dag", "a"))
    assert path.read_text() == "denied: ["
