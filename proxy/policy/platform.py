"""platform.yaml: where the environments live, the most that each team can grant, who may speak for which DAGs.

Sections: environments, teams, workloads, deny, require, grants, unmapped, contact. Each entry is closed: what is not said
here nobody else can say. What is let through or given against the rules has an end in time, or does not load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.globs import is_glob
from proxy.model import Evidence, Workload
from proxy.policy.declared import (
    EnvironmentDeclaration,
    GrantDeclaration,
    PlatformFile,
    TeamDeclaration,
    UnmappedDeclaration,
    Word,
)
from proxy.policy.fields import (
    check_fields,
    entries_of,
    globs_of,
    list_of,
    moment_of,
    section_of,
    string_of,
    varied_of,
    words_of,
)
from proxy.policy.patterns import ACCOUNT, DAG_GLOB, PARTITION, REGION
from proxy.policy.rule_fields import requirements_of, rules_of
from proxy.policy.vocabulary import GRANT_FIELDS, SOURCES, UNMAPPED_FIELDS
from proxy.yaml_source import Sequence

if TYPE_CHECKING:
    import re

    from proxy.yaml_source import Mapping, Mistakes, Node, Scalar


def read_platform(top: Mapping, name: str, mistakes: Mistakes) -> PlatformFile:
    """What the platform team's file says."""
    environments = {
        key: _environment(key, node, mistakes) for key, _, node in entries_of(top.get("environments"), "`environments`", mistakes)
    }
    teams = {key: _team(key, scalar, node, mistakes) for key, scalar, node in entries_of(top.get("teams"), "`teams`", mistakes)}
    workloads = tuple(
        _workload(key, scalar, node, teams, mistakes)
        for key, scalar, node in entries_of(top.get("workloads"), "`workloads`", mistakes)
    )
    return PlatformFile(
        file=name,
        place=top.place_of("environments"),
        contact=string_of(top.get("contact"), "`contact`", mistakes),
        environments=environments,
        teams=teams,
        workloads=workloads,
        deny=rules_of(top.get("deny"), "deny", mistakes, denies=True),
        require=requirements_of(top.get("require"), mistakes),
        grants=_grants(top.get("grants"), mistakes),
        unmapped=_unmapped(top, mistakes) if "unmapped" in top else None,
    )


def _environment(name: str, node: Node, mistakes: Mistakes) -> EnvironmentDeclaration:
    what = f"environment `{name}`"
    fields = section_of(node, what, mistakes)
    check_fields(fields, ("account", "region", "partition", "mode"), what, mistakes)
    account = _matching(
        fields, "account", ACCOUNT, f'{what}: account is 12 digits in quotes, for example "111122223333"', mistakes
    )
    region = _matching(fields, "region", REGION, f"{what}: region is one of AWS's, for example us-east-1", mistakes)
    partition = "aws"
    if "partition" in fields:
        partition = _matching(fields, "partition", PARTITION, f"{what}: partition is aws, aws-cn or aws-us-gov", mistakes)
    mode = string_of(fields.get("mode"), "`mode`", mistakes)
    if mode not in ("", "enforce", "observe"):
        mistakes.add(fields.place_of("mode"), f"{what}: mode is enforce or observe, not `{mode}`")
    return EnvironmentDeclaration(name, account, region, partition, mode == "observe")


def _matching(fields: Mapping, field: str, legal: re.Pattern[str], hint: str, mistakes: Mistakes) -> str:
    before = len(mistakes.errors)
    text = string_of(fields.get(field), f"`{field}`", mistakes)
    if len(mistakes.errors) == before and not legal.fullmatch(text):
        mistakes.add(fields.place_of(field), hint)
    return text


def _team(name: str, key: Scalar, node: Node, mistakes: Mistakes) -> TeamDeclaration:
    what = f"team `{name}`"
    fields = section_of(node, what, mistakes)
    check_fields(fields, ("dags", "tables", "role", "contact"), what, mistakes)
    for field in ("dags", "tables"):
        if field not in fields:
            mistakes.add(key.place, f"{what} has no `{field}`; its boundary needs dags: [...] and tables: [...]")
    return TeamDeclaration(
        name=name,
        place=key.place,
        dags=globs_of(fields.get("dags"), f"`dags` of {what}", DAG_GLOB, mistakes) or (),
        tables=words_of(fields.get("tables"), f"`tables` of {what}", mistakes),
        role=varied_of(fields.get("role"), f"`role` of {what}", mistakes),
        contact=string_of(fields.get("contact"), f"`contact` of {what}", mistakes),
    )


def _grants(node: Node | None, mistakes: Mistakes) -> tuple[GrantDeclaration, ...]:
    if isinstance(node, Sequence) and not node.items:
        return ()
    return tuple(_grant(section_of(item, "a grant", mistakes), mistakes) for item in list_of(node, "`grants`", mistakes))


def _grant(fields: Mapping, mistakes: Mistakes) -> GrantDeclaration:
    check_fields(fields, GRANT_FIELDS, "a grant", mistakes)
    for field in GRANT_FIELDS:
        if field not in fields:
            mistakes.add(fields.place, f"the grant has no `{field}`; it must say dag, allow, until and reason")
    return GrantDeclaration(
        place=fields.place,
        dag=Word(string_of(fields.get("dag"), "`dag` of a grant", mistakes), fields.place_of("dag")),
        allow=rules_of(fields.get("allow"), "allow", mistakes, denies=False),
        until=moment_of(fields.get("until"), "`until` of a grant", mistakes),
        reason=string_of(fields.get("reason"), "`reason` of a grant", mistakes),
    )


def _unmapped(top: Mapping, mistakes: Mistakes) -> UnmappedDeclaration:
    fields = section_of(top.get("unmapped"), "`unmapped`", mistakes)
    check_fields(fields, UNMAPPED_FIELDS, "`unmapped`", mistakes)
    place = top.place_of("unmapped")
    for field in UNMAPPED_FIELDS:
        if field not in fields:
            mistakes.add(place, f"`unmapped` has no `{field}`; it must say role, mode: observe, and until when")
    mode = string_of(fields.get("mode"), "`mode` of `unmapped`", mistakes)
    if mode not in ("", "observe"):
        mistakes.add(fields.place_of("mode"), f"`mode` of `unmapped` is observe, not `{mode}`; leave `unmapped` out to refuse")
    return UnmappedDeclaration(
        place=place,
        role=varied_of(fields.get("role"), "`role` of `unmapped`", mistakes),
        until=moment_of(fields.get("until"), "`until` of `unmapped`", mistakes),
    )


def _workload(name: str, key: Scalar, node: Node, teams: dict[str, TeamDeclaration], mistakes: Mistakes) -> Workload:
    what = f"workload `{name}`"
    fields = section_of(node, what, mistakes)
    check_fields(fields, ("issuer", "subject", "teams", "dags", "dag_from", "annotations", "unknown_dag"), what, mistakes)
    for field, hint in (("issuer", "the issuer's name in the settings"), ("subject", "the token's `sub`, or a glob of it")):
        if field not in fields:
            mistakes.add(key.place, f"{what} has no `{field}`; add {hint}")
    if "teams" not in fields and "dags" not in fields:
        mistakes.add(key.place, f"{what} may speak for nobody; add teams: [...] or dags: [...]")
    subject = string_of(fields.get("subject"), f"`subject` of {what}", mistakes)
    if subject.startswith("!"):
        mistakes.add(fields.place_of("subject"), f"`subject` of {what} cannot begin with `!`; write the subjects that may speak")
    unknown_dag = string_of(fields.get("unknown_dag"), f"`unknown_dag` of {what}", mistakes)
    if unknown_dag not in ("", "deny", "unmapped"):
        place = fields.place_of("unknown_dag")
        mistakes.add(place, f"`unknown_dag` of {what} is deny or unmapped, not `{unknown_dag}`")
    dags, dag_from = _dags(fields, what, teams, mistakes), _sources(fields, what, mistakes)
    if "subject" in dag_from and (len(dags) != 1 or is_glob(dags[0])):
        mistakes.add(fields.place_of("dag_from"), f"{what}: `dag_from: subject` is for one DAG, named in full, under `dags`")
    return Workload(
        name=name,
        issuer=string_of(fields.get("issuer"), f"`issuer` of {what}", mistakes),
        subject=subject,
        dags=dags,
        dag_from=dag_from,
        where=str(key.place),
        may_be_unmapped=unknown_dag != "deny",
        annotations=_annotations(fields, what, dag_from, mistakes),
    )


def _annotations(fields: Mapping, what: str, dag_from: tuple[str, ...], mistakes: Mistakes) -> Evidence:
    """How good a pod's annotations are as evidence. That DAGs cannot set them must be said: with `pod_override` they can."""
    said = string_of(fields.get("annotations"), f"`annotations` of {what}", mistakes)
    if said not in ("", "claimed", "verified"):
        mistakes.add(fields.place_of("annotations"), f"`annotations` of {what} is claimed or verified, not `{said}`")
    elif said and "annotation" not in dag_from:
        mistakes.add(fields.place_of("annotations"), f"{what}: `annotations` says nothing without `annotation` in `dag_from`")
    return Evidence.VERIFIED if said == "verified" else Evidence.CLAIMED


def _dags(fields: Mapping, what: str, teams: dict[str, TeamDeclaration], mistakes: Mistakes) -> tuple[str, ...]:
    dags = globs_of(fields.get("dags"), f"`dags` of {what}", DAG_GLOB, mistakes) or ()
    for word in words_of(fields.get("teams"), f"`teams` of {what}", mistakes):
        if word.text in teams:
            dags += teams[word.text].dags
        else:
            mistakes.add(word.place, f"{what}: no team `{word.text}` stands under teams:")
    return dags


def _sources(fields: Mapping, what: str, mistakes: Mistakes) -> tuple[str, ...]:
    """Where the DAG id may come from. Without `dag_from` a verified claim is the only source."""
    if "dag_from" not in fields:
        return ("claim",)
    words = words_of(fields.get("dag_from"), f"`dag_from` of {what}", mistakes)
    for word in words:
        if word.text not in SOURCES:
            mistakes.add(word.place, f"`dag_from` has no `{word.text}`; write some of {', '.join(SOURCES)}")
    return tuple(word.text for word in words)
