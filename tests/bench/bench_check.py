"""What `check` costs for 1,000 rules: `python -m tests.bench.bench_check`. Told here, held against its bar by `make bench`."""

from __future__ import annotations

import time

from proxy.policy.check import check_policies
from proxy.policy.diff import diff_policies
from proxy.policy.lint import lint

GOAL = 0.5  # seconds
_TEAMS, _DAGS, _RULES = 10, 20, 5


def policies() -> dict[str, str]:
    """Files of 10 teams with 20 DAGs of 5 rules each, in two environments, a test for each DAG."""
    teams = "".join(
        f"  t{team}: {{dags: ['t{team}_*'], tables: ['<env>-t{team}-*'], role: 'ddb-<env>-t{team}'}}\n" for team in range(_TEAMS)
    )
    files = {
        "platform.yaml": "environments:\n"
        '  dev: {account: "111111111111", region: eu-west-1}\n  prod: {account: "222222222222", region: eu-west-1}\n'
        f"teams:\n{teams}deny:\n  - {{actions: ['*'], tables: ['*-pii']}}\n"
    }
    for team in range(_TEAMS):
        lines = [f"team: t{team}", "tables:"]
        lines += [f'  a{table}: {{name: "<env>-t{team}-a{table}", key: "pk (S)"}}' for table in range(_RULES)]
        lines.append("dags:")
        for dag in range(_DAGS):
            lines += [f"  t{team}_d{dag}:", "    allow:"]
            lines += [
                f'      - {{actions: [read, PutItem], tables: [a{rule}], keys: {{prefix: "<dag_id>#"}}}}'
                for rule in range(_RULES)
            ]
        lines.append("tests:")
        lines += [
            f'  - {{dag: t{team}_d{dag}, call: GetItem, table: a1, key: "t{team}_d{dag}#1", expect: allow}}'
            for dag in range(_DAGS)
        ]
        files[f"t{team}.yaml"] = "\n".join(lines) + "\n"
    return files


def measure() -> tuple[float, float, float]:
    """CPU seconds of `check`, `lint` and `diff`: the least of five."""
    files = policies()
    changed = files | {"platform.yaml": files["platform.yaml"].replace("'*-pii'", "'*-a3'")}
    checks, lints, diffs = [], [], []
    for _ in range(5):
        started = time.process_time()
        report = check_policies(files)
        checks.append(time.process_time() - started)
        assert report.is_good, report.lines()[:3]
        findings = lint(report.document, report.snapshots)
        lints.append(time.process_time() - started - checks[-1])
        assert not findings, findings[:3]
        after = check_policies(changed).snapshots
        started = time.process_time()
        assert not diff_policies(report.snapshots, after, 0.0).is_empty
        diffs.append(time.process_time() - started)
    return min(checks), min(lints), min(diffs)


def main() -> None:
    """Print them."""
    rules = _TEAMS * _DAGS * _RULES
    check, linted, compared = measure()
    print(
        f"{rules} rules, 2 environments: check {check:.3f} s, lint {linted:.3f} s (goal {GOAL} s together), diff {compared:.3f} s"
    )


if __name__ == "__main__":
    main()
