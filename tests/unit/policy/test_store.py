"""Policy files on a real disk, in the layouts that they really have."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from proxy.policy.store import PolicyError, PolicyFiles, load_policies, policy_texts

ROOT = Path(__file__).parents[3]
FILE = 'dags: {d: {role: "arn:aws:iam::111122223333:role/r"}}\n'


def test_a_directory_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    """Both endings count; hidden files, folders and other files do not."""
    for name in ("b.yaml", "a.yml", ".hidden.yaml", "notes.txt"):
        (tmp_path / name).write_text(FILE)
    (tmp_path / "folder.yaml").mkdir()
    assert list(policy_texts(tmp_path)) == [f"{tmp_path.name}/a.yml", f"{tmp_path.name}/b.yaml"]


def test_a_relative_path_is_the_name_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a person typed is what a message can be clicked by."""
    (tmp_path / "orders.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    assert list(policy_texts(Path("orders.yaml"))) == ["orders.yaml"]


def test_one_file_is_enough(tmp_path: Path) -> None:
    """A path to a file loads that file."""
    (tmp_path / "orders.yaml").write_text(FILE)
    assert load_policies(tmp_path / "orders.yaml", "", "eu-west-1").has_dag("d")


def test_a_config_map_is_read_through_its_links(tmp_path: Path) -> None:
    """Kubernetes shows files as links into `..data`, itself a link to a dated folder; each is read once."""
    dated = tmp_path / "..2026_11_22_15_00_00.1"
    dated.mkdir()
    (dated / "orders.yaml").write_text(FILE)
    (tmp_path / "..data").symlink_to(dated.name)
    (tmp_path / "orders.yaml").symlink_to("..data/orders.yaml")
    assert list(policy_texts(tmp_path)) == [f"{tmp_path.name}/orders.yaml"]
    assert load_policies(tmp_path, "", "eu-west-1").has_dag("d")


def test_an_empty_directory_says_what_to_write(tmp_path: Path) -> None:
    """No policies is never a policy."""
    with pytest.raises(PolicyError) as error:
        load_policies(tmp_path, "", "eu-west-1")
    assert error.value.lines == [
        f"{tmp_path}: holds no policy file; write one, for example {tmp_path}/orders.yaml with tables: and dags:"
    ]


def test_a_missing_directory_says_what_to_set(tmp_path: Path) -> None:
    """A misspelt path is not an empty policy."""
    with pytest.raises(PolicyError, match="does not exist; set `policies`"):
        load_policies(tmp_path / "policy", "", "eu-west-1")


def test_files_that_cannot_be_read_are_all_told(tmp_path: Path) -> None:
    """A dangling link and bytes that are no text are mistakes like any other."""
    (tmp_path / "a.yaml").symlink_to("nowhere.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyError) as error:
        load_policies(tmp_path, "", "eu-west-1")
    assert error.value.lines == [
        f"{tmp_path}/a.yaml: cannot be read (No such file or directory)",
        f"{tmp_path}/b.yaml: is not UTF-8; save it as UTF-8",
    ]


def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path) -> None:
    """What the system refuses is a sentence like any other, whoever asks."""
    os.mkfifo(tmp_path / "policies")
    with pytest.raises(PolicyError) as error:
        policy_texts(tmp_path / "policies")
    assert error.value.lines == [
        f"{tmp_path}/policies: cannot be read (Not a directory); name a folder or file of policies that may be read"
    ]


def test_policies_that_are_followed_never_lose_their_platform_file(tmp_path: Path) -> None:
    """Without it nothing is wrong in any file and nothing is denied: the last good ones stay, told once, until it is back."""
    (tmp_path / "orders.yaml").write_text(FILE)
    platform = tmp_path / "platform.yaml"
    platform.write_text('deny: [{actions: ["*"], tables: [secrets]}]\n')
    files = PolicyFiles(tmp_path, "", "eu-west-1")
    first = files.current
    platform.rename(tmp_path / "platform.away")
    (tmp_path / "orders.yaml").write_text(FILE + "# changed\n")
    with pytest.raises(PolicyError) as error:
        files.look()
    assert str(error.value) == (
        f"{tmp_path}: holds no platform.yaml any more, so nothing would be denied, required or bounded platform-wide; "
        "put it back, or restart the gateway to do without"
    )
    assert (files.look(), files.current) == (None, first)
    (tmp_path / "platform.away").rename(tmp_path / "platform.yml")
    assert files.look() is files.current is not first
    (tmp_path / "platform.yml").unlink()
    assert not PolicyFiles(tmp_path, "", "eu-west-1").has_platform  # what a restart does


def test_a_worker_that_is_started_later_does_not_do_without_the_platform_file(tmp_path: Path) -> None:
    """One in the place of a worker that died took what files there were, and let through what the others denied."""
    folder, mark = tmp_path / "policies", tmp_path / "platform.seen"
    folder.mkdir()
    (folder / "orders.yaml").write_text(FILE)
    assert not PolicyFiles(folder, "", "eu-west-1", mark).has_platform
    assert not mark.exists()
    (folder / "platform.yaml").write_text('deny: [{actions: ["*"], tables: [secrets]}]\n')
    assert PolicyFiles(folder, "", "eu-west-1", mark).has_platform
    (folder / "platform.yaml").unlink()
    with pytest.raises(PolicyError, match=r"holds no platform\.yaml any more"):
        PolicyFiles(folder, "", "eu-west-1", mark)


def test_policies_that_are_followed_are_judged_once_for_each_state(tmp_path: Path) -> None:
    """Broken, gone or the same: the last good ones stay, and a platform.yaml may come at any time."""
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "orders.yaml").write_text(FILE)
    files = PolicyFiles(folder, "", "eu-west-1")
    assert (files.look(), files.has_platform) == (None, False)
    (folder / "orders.yaml").write_text("dags: nonsense")
    with pytest.raises(PolicyError, match="must be a mapping"):
        files.look()
    assert files.look() is None
    shutil.rmtree(folder)
    with pytest.raises(PolicyError, match="does not exist"):
        files.look()
    assert (files.look(), files.current.has_dag("d")) == (None, True)
    folder.mkdir()
    (folder / "orders.yaml").write_text(FILE)
    (folder / "platform.yaml").write_text("contact: us\n")
    assert (files.look() is files.current, files.has_platform) == (True, True)


def test_every_mistake_of_every_file_is_in_the_error(tmp_path: Path) -> None:
    """One start shows all there is to mend."""
    (tmp_path / "a.yaml").write_text("dags: {d: {}}")
    (tmp_path / "b.yaml").write_text("dag: {}")
    with pytest.raises(PolicyError) as error:
        load_policies(tmp_path, "", "eu-west-1")
    assert [line.removeprefix(f"{tmp_path.name}/").split(" ")[0] for line in error.value.lines] == ["a.yaml:1:", "b.yaml:1:"]
    assert str(error.value) == "\n".join(error.value.lines)


def test_a_file_that_is_far_too_large_is_not_read_whole(tmp_path: Path) -> None:
    """The size is refused, whatever stands in the file."""
    with (tmp_path / "a.yaml").open("wb") as file:
        file.write(b"#")
        os.ftruncate(file.fileno(), 64 << 20)
    with pytest.raises(PolicyError, match="is larger than"):
        load_policies(tmp_path, "", "eu-west-1")


@pytest.mark.parametrize("environment", ["demo", "prod"])
def test_the_policies_that_ship_load(environment: str) -> None:
    """The examples in policies/ are good in both of their environments."""
    policies = load_policies(ROOT / "policies", environment, "")
    assert {"orders_daily", "orders_report", "growth_sync"} <= {principal.dag_id for principal in policies.principals()}
