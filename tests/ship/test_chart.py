"""The chart renders with helm 3 and helm 4 to objects that Kubernetes takes, safe by default, and refuses what is undecided."""

from __future__ import annotations

import configparser
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.ship.rendering import (
    AIRFLOW_POD,
    CHART,
    GATEWAYS,
    HELMS,
    ROOT,
    SIDECAR_VALUES,
    VALUES,
    helm,
    objects,
    of_kind,
    refusal,
    rendered,
    values,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.ship.rendering import Object

pytestmark = pytest.mark.needs("helm")

KUBERNETES = ("1.29", "1.37")  # the oldest that has native sidecars on, and the newest with known schemas
PEM_TITLE = "PRIVATE KEY-----"
both_helms = pytest.mark.parametrize("major", HELMS)


def pod_of(major: str, name: str, *sets: str) -> Object:
    """The pod template of a rendered gateway."""
    (deployment,) = of_kind("Deployment", objects(rendered(major, values(name), *sets)))
    template: Object = deployment["spec"]["template"]
    return template


def told(major: str, name: str, *sets: str) -> Object:
    """The rendered proxy.yaml, parsed."""
    (settings,) = (
        each for each in objects(rendered(major, values(name), *sets)) if each["metadata"]["name"].endswith("-settings")
    )
    document: Object = yaml.safe_load(settings["data"]["proxy.yaml"])
    return document


# ------------------------------------------------------------------------------------------------ it is well-formed


@both_helms
@pytest.mark.parametrize("name", [path.stem for path in sorted(VALUES.glob("*.yaml"))])
def test_helm_finds_nothing_to_complain_of(major: str, name: str) -> None:
    """Every values file passes helm's strict lint."""
    run = helm(major, "lint", "--strict", str(CHART), "--values", str(values(name)))
    assert run.status == 0, run.output + run.errors


@pytest.mark.needs("ship")
@both_helms
@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_takes_every_object(major: str, version: str, tmp_path: Path) -> None:
    """Each object fits the strict schemas of the oldest and the newest Kubernetes; a ServiceMonitor has none."""
    everything = [each for path in sorted(VALUES.glob("*.yaml")) for each in objects(rendered(major, path))]
    everything += objects(rendered(major, SIDECAR_VALUES, chart=AIRFLOW_POD))
    file = tmp_path / "objects.yaml"
    file.write_text(yaml.safe_dump_all([each for each in everything if each["kind"] != "ServiceMonitor"]))
    command = [str(ROOT / ".venv" / "ship" / "bin" / "kubernetes-validate"), "-k", version, "--strict", "--quiet", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (done.stdout + done.stderr).strip()


@both_helms
@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ('replicaCount="two"', "replicaCount"),
        ("replicas=3", "replicas"),
        ("tls.insecure=true", "insecure"),
        ('tls.insecurePlaintext="yes"', "insecurePlaintext"),
        ('image.digest="latest"', "digest"),
        ('mode="daemon"', "mode"),
        ('networkPolicy.clients=[{"namespace":"airflow"}]', "namespace"),
        ("networkPolicy.clients=[{}]", "clients"),
        ('policies.files={"../evil.yaml":"x"}', "evil.yaml"),  # helm 4 blames another path for a bad key: only the key is sure
        ('policies.files={"orders.yaml":{"dags":{}}}', "orders.yaml"),
        ("service.port=70000", "port"),
        ('admin.socket="/etc/admin.sock"', "socket"),  # the only folder that can be written is /tmp
        ("podDisruptionBudget.maxUnavailable=0", "maxUnavailable"),
        ('serviceMonitor.interval="often"', "interval"),
        ("extra=1", "extra"),
    ],
)
def test_the_schema_refuses_wrong_types_and_unknown_values(major: str, wrong: str, named: str) -> None:
    """A misspelt or ill-typed value stops helm, by name, instead of leaving a default in force."""
    said = refusal(major, values("gateway"), wrong)
    assert "values don't meet the specifications of the schema" in said
    assert named in said


# -------------------------------------------------------------------------------------------- what must be decided


@both_helms
def test_all_undecided_values_are_named_at_once(major: str) -> None:
    """Without values, one refusal names each decision that the chart will not take for its user."""
    said = refusal(major)
    for missing in (
        "settings.issuers",
        "settings.aws.region",
        "policies are missing",
        "tls is undecided",
        "networkPolicy.clients",
    ):
        assert missing in said


@both_helms
@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        (("tls.existingSecret=null",), "tls is undecided"),
        (("tls.insecurePlaintext=true",), "tls.existingSecret and tls.insecurePlaintext are both given"),
        (('policies.existingConfigMap="mine"',), "policies.files and policies.existingConfigMap are both given"),
        (("networkPolicy.clients=[]",), "networkPolicy.clients is missing"),
        (('settings.listen="0.0.0.0:80"',), "settings.listen is written by the chart"),
        (("settings.insecure_plaintext=true",), "settings.insecure_plaintext is written by the chart"),
        (('settings.admin={"socket":"/tmp/s"}',), "settings.admin is written by the chart"),
        (('admin.issuer="eks"',), "admin needs both issuer and subjects"),
        (('admin.subjects=["*"]',), "admin needs both issuer and subjects"),
        (('admin={"issuer":"eks","subjects":["a"]}',), "admin.issuer: the admin port has no TLS"),
        (('mode="sidecar"', 'admin={"issuer":"eks","subjects":["a"]}'), "admin.issuer is for mode=gateway"),
        (('env=[{"name":"DDB_PROXY_INSECURE_PLAINTEXT","value":"true"}]',), "env DDB_PROXY_INSECURE_PLAINTEXT would override"),
        (('env=[{"name":"DDB_PROXY_TLS_KEY","value":"/x"}]',), "env DDB_PROXY_TLS_KEY would override"),
        (('sessions.existingSecret="a"', 'settings.sessions={"key_file":"/x"}'), "settings.sessions.key_file is written by"),
        (('denyList.existingConfigMap="a"', 'settings.deny_list="/x"'), "settings.deny_list is written by the chart"),
        (('mode="sidecar"', 'sessions.existingSecret="a"'), "a fleet's key never goes into task pods"),
        (("serviceAccount.create=false",), "serviceAccount.name is missing"),
        (("terminationGracePeriodSeconds=65",), "terminationGracePeriodSeconds must be more than"),
        (('fullnameOverride="ddb-proxy"',), "the full name begins with ddb-proxy"),
        ((f'settings.note="-----BEGIN EC {PEM_TITLE}"',), "hold a private key"),
        ((f'policies.files={{"a.yaml":"# -----BEGIN {PEM_TITLE}"}}',), "hold a private key"),
    ],
)
def test_a_contradiction_is_refused_with_what_to_do(major: str, sets: tuple[str, ...], expected: str) -> None:
    """A values file that is otherwise good is refused for its one contradiction, by name."""
    assert expected in refusal(major, values("gateway"), *sets)


# ----------------------------------------------------------------------------------------------- it is safe by default


@both_helms
@pytest.mark.parametrize("name", GATEWAYS)
def test_pods_meet_the_restricted_pod_security_standard(major: str, name: str) -> None:
    """Not root, no capability, no escalation, the runtime's seccomp profile, a root file system that cannot be written."""
    pod = pod_of(major, name)["spec"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert {kind for volume in pod["volumes"] for kind in volume} <= {"name", "configMap", "secret", "emptyDir"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False


@both_helms
@pytest.mark.parametrize("name", GATEWAYS)
def test_only_tmp_can_be_written(major: str, name: str) -> None:
    """Every mount but /tmp is read-only, and /tmp is bounded memory."""
    pod = pod_of(major, name)["spec"]
    writable = [mount for mount in pod["containers"][0]["volumeMounts"] if not mount.get("readOnly")]
    assert [mount["mountPath"] for mount in writable] == ["/tmp"]  # noqa: S108  # a path in the pod
    assert {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}} in pod["volumes"]


@both_helms
def test_clients_reach_the_data_port_and_nothing_else(major: str) -> None:
    """By default the admin port has no rule at all; with `monitoring` given, only that peer reaches it."""
    (policy,) = of_kind("NetworkPolicy", objects(rendered(major, values("gateway"))))
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    assert [rule["ports"] for rule in policy["spec"]["ingress"]] == [[{"port": "data", "protocol": "TCP"}]]
    (policy,) = of_kind("NetworkPolicy", objects(rendered(major, values("gateway-everything"))))
    data, admin = policy["spec"]["ingress"]
    assert data == {"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": "data", "protocol": "TCP"}]}
    assert admin["ports"] == [{"port": "admin", "protocol": "TCP"}]
    assert admin["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert [rule["ports"][0]["port"] for rule in policy["spec"]["egress"]] == [53, 443]


@both_helms
@pytest.mark.parametrize("name", GATEWAYS)
def test_the_service_shows_the_data_port_only(major: str, name: str) -> None:
    """Whoever can call the gateway's Service cannot reach metrics through it."""
    services = of_kind("Service", objects(rendered(major, values(name))))
    shown = {service["metadata"]["name"]: [port["targetPort"] for port in service["spec"]["ports"]] for service in services}
    admin = {name: ports for name, ports in shown.items() if name.endswith("-admin")}
    assert all(ports == ["data"] for name, ports in shown.items() if name not in admin)
    assert list(admin.values()) == ([["admin"]] if name == "gateway-everything" else [])


@both_helms
def test_config_maps_hold_the_settings_and_policies_and_nothing_more(major: str) -> None:
    """TLS keys come from the Secret by a mount; the chart itself never renders a Secret."""
    for path in VALUES.glob("*.yaml"):
        rendering = objects(rendered(major, path))
        assert not of_kind("Secret", rendering)
        assert {key for each in of_kind("ConfigMap", rendering) for key in each["data"]} <= {
            "proxy.yaml",
            "orders.yaml",
            "platform.yaml",
            "aws-config",
        }
    tls = {"name": "tls", "secret": {"secretName": "gateway-tls", "defaultMode": 0o440}}
    assert tls in pod_of(major, "gateway")["spec"]["volumes"]


# --------------------------------------------------------------------------------------- what the gateway is told


@both_helms
def test_a_gateway_with_a_secret_serves_tls_on_all_interfaces(major: str) -> None:
    """The user's settings stand beside what the chart decides, in the gateway's own words."""
    assert told(major, "gateway") == {
        "listen": "0.0.0.0:8080",
        "admin_listen": "0.0.0.0:9090",
        "tls": {"certificate": "/etc/dynamodb-proxy/tls/tls.crt", "key": "/etc/dynamodb-proxy/tls/tls.key"},
        "policies": "/etc/dynamodb-proxy/policies",
        "drain_delay_seconds": 5,
        "drain_timeout_seconds": 60,
        "limits": {"body_bytes_total": 134217728},
        "environment": "prod",
        "aws": {"region": "eu-west-1"},
        "issuers": [
            {
                "name": "eks",
                "issuer": "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE",
                "audience": "dynamodb-proxy",
                "may_assert": ["*"],
            }
        ],
    }


@both_helms
def test_plaintext_is_said_openly(major: str) -> None:
    """Without TLS the settings say `insecure_plaintext: true`, no certificate is mounted, and the notes warn."""
    settings = told(major, "gateway-plaintext")
    assert settings["insecure_plaintext"] is True
    assert "tls" not in settings
    assert "tls" not in [volume["name"] for volume in pod_of(major, "gateway-plaintext")["spec"]["volumes"]]


@both_helms
def test_nobody_may_ask_the_admin_plane_unless_all_is_said(major: str) -> None:
    """By default there is no `admin` at all; a cleartext admin port keeps the data port's TLS."""
    assert "admin" not in told(major, "gateway")
    settings = told(major, "gateway-everything")
    assert settings["admin"] == {"socket": "/tmp/admin.sock", "issuer": "airflow", "subjects": ["platform-*"]}  # noqa: S108 - a path of the pod's
    assert settings["insecure_plaintext"] is True
    assert settings["tls"]["certificate"]


@both_helms
def test_session_keys_and_kill_switches_are_mounted_as_folders(major: str) -> None:
    """So that a change reaches the gateway while it runs; without them nothing is mounted and nothing is said."""
    pod = pod_of(major, "gateway-everything")["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["sessions"]["secret"]["secretName"] == "ddb-sessions"
    assert volumes["deny"]["configMap"]["name"] == "ddb-denied"
    mounts = {mount["name"]: mount for mount in pod["containers"][0]["volumeMounts"]}
    settings = told(major, "gateway-everything", "settings.sessions.seconds=7200")
    for name, file in (("sessions", settings["sessions"]["key_file"]), ("deny", settings["deny_list"])):
        assert (mounts[name].get("subPath"), mounts[name]["readOnly"]) == (None, True)
        assert file.startswith(f"{mounts[name]['mountPath']}/")
    assert settings["sessions"]["seconds"] == 7200
    plain = pod_of(major, "gateway")["spec"]
    assert not {"sessions", "deny"} & {volume["name"] for volume in plain["volumes"]}
    assert not {"sessions", "deny_list"} & told(major, "gateway").keys()


@both_helms
def test_a_user_setting_beats_the_charts_default_and_keeps_its_type(major: str) -> None:
    """Large integers stay integers: helm reads numbers as floats."""
    text = rendered(major, values("gateway-everything"))
    assert "body_bytes: 16842752\n" in text
    assert told(major, "gateway-everything")["limits"] == {"body_bytes": 16842752, "body_bytes_total": 536870912}


@both_helms
def test_a_change_of_policies_does_not_restart_pods_and_a_change_of_settings_does(major: str) -> None:
    """Policies are read again while the gateway runs, settings are not."""
    before = pod_of(major, "gateway")
    assert pod_of(major, "gateway", 'policies.files={"other.yaml":"dags: {}"}') == before
    assert pod_of(major, "gateway", 'settings.environment="dev"') != before


@both_helms
@pytest.mark.parametrize("name", GATEWAYS)
def test_pods_have_time_to_drain(major: str, name: str) -> None:
    """The kubelet waits longer than the gateway may take."""
    settings = told(major, name)
    grace = pod_of(major, name)["spec"]["terminationGracePeriodSeconds"]
    assert grace > settings["drain_delay_seconds"] + settings["drain_timeout_seconds"]


@both_helms
@pytest.mark.parametrize("name", GATEWAYS)
def test_probes_ask_the_admin_port(major: str, name: str) -> None:
    """Liveness asks only whether the process lives: an outage of the issuer or of STS must not restart every pod."""
    (container,) = pod_of(major, name)["spec"]["containers"]
    asked = {probe: container[f"{probe}Probe"]["httpGet"] for probe in ("startup", "liveness", "readiness")}
    assert asked == {
        "startup": {"path": "/healthz", "port": "admin"},
        "liveness": {"path": "/healthz", "port": "admin"},
        "readiness": {"path": "/readyz", "port": "admin"},
    }


@both_helms
def test_selectors_find_the_pods(major: str) -> None:
    """Service, disruption budget, network policy and spread all select the labels that the pods carry."""
    rendering = objects(rendered(major, values("gateway-everything")))
    labels = pod_of(major, "gateway-everything")["metadata"]["labels"]
    (deployment,) = of_kind("Deployment", rendering)
    spread = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
    chosen = [each["spec"]["selector"] for each in of_kind("Service", rendering)]
    chosen += [each["spec"]["selector"]["matchLabels"] for each in [deployment, *of_kind("PodDisruptionBudget", rendering)]]
    chosen += [each["spec"]["podSelector"]["matchLabels"] for each in of_kind("NetworkPolicy", rendering)]
    chosen += [each["labelSelector"]["matchLabels"] for each in spread]
    assert len(chosen) == 7
    assert all(selector.items() <= labels.items() for selector in chosen)


@both_helms
def test_the_service_monitor_finds_the_admin_service(major: str) -> None:
    """Prometheus selects by labels that only the admin Service has."""
    rendering = objects(rendered(major, values("gateway-everything")))
    (monitor,) = of_kind("ServiceMonitor", rendering)
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    found = [each for each in of_kind("Service", rendering) if wanted <= each["metadata"]["labels"].items()]
    assert [service["metadata"]["name"] for service in found] == ["gate-admin"]
    assert monitor["spec"]["endpoints"] == [{"port": "admin", "path": "/metrics", "interval": "15s"}]


@both_helms
def test_autoscaling_takes_the_replica_count_over(major: str) -> None:
    """With autoscaling the Deployment names no replicas, or every upgrade would reset them; without, there is no autoscaler."""
    rendering = objects(rendered(major, values("gateway-everything")))
    (deployment,) = of_kind("Deployment", rendering)
    (scaler,) = of_kind("HorizontalPodAutoscaler", rendering)
    assert "replicas" not in deployment["spec"]
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    rendering = objects(rendered(major, values("gateway")))
    assert of_kind("Deployment", rendering)[0]["spec"]["replicas"] == 2
    assert not of_kind("HorizontalPodAutoscaler", rendering)


# --------------------------------------------------------------------------------------------------- the sidecar


@both_helms
def test_sidecar_mode_renders_only_its_two_config_maps(major: str) -> None:
    """The sidecar listens on loopback alone and leaves at once when its task is done."""
    rendering = objects(rendered(major, values("sidecar")))
    assert [(each["kind"], each["metadata"]["name"]) for each in rendering] == [
        ("ConfigMap", "rel-dynamodb-proxy-settings"),
        ("ConfigMap", "rel-dynamodb-proxy-policies"),
    ]
    settings = told(major, "sidecar")
    assert (settings["listen"], settings["admin_listen"], settings["drain_delay_seconds"]) == (
        "127.0.0.1:8080",
        "127.0.0.1:9090",
        0,
    )
    assert settings["sessions"] == {"key_file": "/run/dynamodb-proxy/sessions.key"}


@both_helms
@pytest.mark.parametrize("place", ["kubernetes", "celery", "triggerer"])
def test_the_sidecar_stands_in_airflow_pods_as_a_native_sidecar(major: str, place: str) -> None:
    """Started before the task and gone after it, as another user, without the task's mounts, and the task without its AWS token.

    The official chart cannot be had from a package registry; a stand-in puts the values where that chart puts them.
    """
    pods = objects(rendered(major, SIDECAR_VALUES, chart=AIRFLOW_POD))
    (pod,) = (each["spec"] for each in pods if each["metadata"]["name"] == place)
    (sidecar,) = pod["initContainers"]
    (base,) = pod["containers"]
    assert sidecar["restartPolicy"] == "Always"
    assert sidecar["securityContext"]["runAsUser"] not in (0, pod["securityContext"]["runAsUser"])
    assert sidecar["securityContext"]["readOnlyRootFilesystem"] is True
    assert sidecar["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "httpGet" not in sidecar["startupProbe"], "the kubelet cannot reach loopback"
    mounted = {
        who: {mount["name"] for mount in container["volumeMounts"]} for who, container in (("sidecar", sidecar), ("base", base))
    }
    assert mounted["sidecar"] & mounted["base"] == set()
    assert {"ddb-proxy-aws-token", "ddb-proxy-keys"} <= mounted["sidecar"]
    (keys,) = (volume for volume in pod["volumes"] if volume["name"] == "ddb-proxy-keys")
    assert keys["emptyDir"]["medium"] == "Memory"
    assert mounted["base"] == {"logs", "ddb-proxy-token"}
    assert mounted["sidecar"] | mounted["base"] == {volume["name"] for volume in pod["volumes"]}
    assert "AWS_ENDPOINT_URL_DYNAMODB" not in {variable["name"] for variable in sidecar["env"]}


@both_helms
def test_each_projected_token_has_an_audience_of_its_own(major: str) -> None:
    """The task's token is of no use towards AWS, the sidecar's of none towards a gateway; both end within the hour."""
    pods = objects(rendered(major, SIDECAR_VALUES, chart=AIRFLOW_POD))
    for pod in pods:
        tokens = {
            volume["name"]: source["serviceAccountToken"]
            for volume in pod["spec"]["volumes"]
            for source in volume.get("projected", {}).get("sources", [])
            if "serviceAccountToken" in source
        }
        assert {name: token["audience"] for name, token in tokens.items()} == {
            "ddb-proxy-token": "dynamodb-proxy",
            "ddb-proxy-aws-token": "dynamodb-proxy-aws",
        }
        assert all(token["expirationSeconds"] <= 3600 for token in tokens.values())


@both_helms
def test_the_sidecar_values_name_the_charts_config_maps(major: str) -> None:
    """Installed as release `ddb`, as the values file says, the chart makes the ConfigMaps that the sidecar mounts."""
    run = helm(major, "template", "ddb", str(CHART), "--values", str(values("sidecar")))
    made = {each["metadata"]["name"] for each in objects(run.output)}
    fragment = yaml.safe_load(SIDECAR_VALUES.read_text())
    volumes = fragment["workers"]["kubernetes"]["extraVolumes"]
    assert {volume["configMap"]["name"] for volume in volumes if "configMap" in volume} == made


@both_helms
def test_the_task_hands_its_token_over_by_a_profile(major: str) -> None:
    """The profile in the task's AWS configuration reads the very file that the kubelet renews; it is no default profile."""
    fragment = yaml.safe_load(SIDECAR_VALUES.read_text())
    (mount,) = fragment["workers"]["kubernetes"]["extraVolumeMounts"]
    (volume,) = (each for each in fragment["workers"]["kubernetes"]["extraVolumes"] if each["name"] == mount["name"])
    token, config = volume["projected"]["sources"]
    (settings, _) = objects(rendered(major, values("sidecar")))
    profiles = configparser.ConfigParser()
    profiles.read_string(settings["data"][config["configMap"]["items"][0]["key"]])
    assert profiles.sections() == ["profile ddb-proxy"]
    file = f"{mount['mountPath']}/{token['serviceAccountToken']['path']}"
    assert profiles["profile ddb-proxy"]["credential_process"] == f"dynamodb-proxy token --file {file}"
    variables = {each["name"]: each["value"] for each in fragment["env"]}
    assert variables["AWS_CONFIG_FILE"] == f"{mount['mountPath']}/{config['configMap']['items'][0]['path']}"


# ------------------------------------------------------------------------------------------------- it tells the truth


def test_every_value_has_a_schema_and_every_schema_a_value() -> None:
    """values.yaml and values.schema.json list the same keys."""
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())

    def compare(properties: Object, given: Object, path: str) -> None:
        assert properties.keys() - {"global"} == given.keys(), path
        for key, value in given.items():
            if "properties" in properties[key]:
                compare(properties[key]["properties"], value, f"{path}.{key}")

    compare(schema["properties"], defaults, "values")


def test_the_chart_has_the_version_of_the_code() -> None:
    """The image that the chart asks for by default is the one of this code."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    namespace: dict[str, str] = {}
    line = next(line for line in (ROOT / "proxy" / "__init__.py").read_text().splitlines() if line.startswith("__version__"))
    namespace["version"] = line.partition("=")[2].strip().strip('"')
    assert chart["appVersion"] == namespace["version"]
    assert f"ARG VERSION={namespace['version']}\n" in (ROOT / "Dockerfile").read_text()
    assert f"image: dynamodb-proxy:{namespace['version']}\n" in SIDECAR_VALUES.read_text()
