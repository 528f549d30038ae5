"""The one setting of a worker: off means off, on means every DynamoDB client, and a mistake says what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.worker.switch import (
    BOTOCORE_PLUGINS,
    DEFAULT_TOKEN_FILE,
    SwitchError,
    goes_to_gateway,
    has_plugin,
    problem_of_endpoint,
    profile_for,
    read_switch,
    turn_on,
)

ON = {"DDB_PROXY_URL": "http://127.0.0.1:8080"}


@pytest.mark.parametrize("environment", [{}, {"DDB_PROXY_URL": ""}, {"DDB_PROXY_TOKEN_FILE": "/t", "DDB_PROXY_CREDENTIALS": "?"}])
def test_without_an_address_everything_is_as_ever(environment: dict[str, str]) -> None:
    """No variable is touched, and none is read."""
    before = dict(environment)
    assert turn_on(environment) is None
    assert environment == before


def test_one_setting_is_enough() -> None:
    """The rest has defaults."""
    switch = read_switch({"DDB_PROXY_URL": " HTTPS://gateway:8443/ "})
    assert switch == ("https://gateway:8443", Path(DEFAULT_TOKEN_FILE), "auto", True, False)


def test_each_variable_is_read() -> None:
    """In the spellings that people use."""
    more = {
        "DDB_PROXY_TOKEN_FILE": "/t",
        "DDB_PROXY_CREDENTIALS": "token",
        "DDB_PROXY_FAIL_AT_ONCE": "No",
        "DDB_PROXY_ASK_UNITS": "1",
    }
    assert read_switch(ON | more) == ("http://127.0.0.1:8080", Path("/t"), "token", False, True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"DDB_PROXY_URL": "127.0.0.1:8080"},
            "DDB_PROXY_URL: '127.0.0.1:8080' is not an http(s) URL; write the gateway's",
        ),
        ({"DDB_PROXY_URL": "http://h:99999"}, "is not an http(s) URL"),
        ({"DDB_PROXY_URL": "http://h/dag/etl"}, "has a path; the gateway serves '/' only"),
        ({"DDB_PROXY_CREDENTIALS": "keys"}, "DDB_PROXY_CREDENTIALS: write one of auto, session, token"),
        ({"DDB_PROXY_FAIL_AT_ONCE": "maybe"}, "DDB_PROXY_FAIL_AT_ONCE: write true or false"),
        ({"DDB_PROXY_ASK_UNITS": "2"}, "DDB_PROXY_ASK_UNITS: write true or false"),
    ],
)
def test_a_mistake_says_what_to_write(change: dict[str, str], said: str) -> None:
    """And nothing is turned on by halves."""
    environment = ON | change
    before = dict(environment)
    with pytest.raises(SwitchError) as caught:
        turn_on(environment)
    assert said in str(caught.value)
    assert environment == before | {BOTOCORE_PLUGINS: "ddb-proxy=proxy.worker.botocore_plugin"}  # which lets no call leave


@pytest.mark.parametrize(
    ("endpoint", "is_ours"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://127.0.0.1:8080/", True),
        ("HTTP://127.0.0.1:8080/dag/etl", True),
        ("https://dynamodb.eu-west-1.amazonaws.com", True),
        ("https://dynamodb.eu-west-1.amazonaws.com.", True),
        ("https://dynamodb.us-gov-west-1.api.aws", True),
        ("https://dynamodb.cn-north-1.amazonaws.com.cn", True),
        ("https://streams.dynamodb.eusc-de-east-1.amazonaws.eu", True),
        ("https://dynamodb.eusc-de-east-1.api.amazonwebservices.eu", True),
        ("https://dynamodb.us-iso-east-1.c2s.ic.gov", True),
        ("https://dynamodb.us-isob-east-1.sc2s.sgov.gov", True),
        ("https://dynamodb.notamazonaws.eu", False),
        ("https://127.0.0.1:8080", False),
        ("http://127.0.0.1:8000", False),
        ("http://127.0.0.1:8080@elsewhere.test", False),
        ("https://dynamodb.eu-west-1.amazonaws.com.elsewhere.test", False),
    ],
)
def test_a_client_of_the_gateways_address_is_adapted_whatever_its_path(endpoint: str, is_ours: bool) -> None:
    """Left alone it would send the worker's AWS keys to the gateway; an address that was chosen on purpose stays alone."""
    switch = read_switch(ON)
    assert switch is not None
    assert goes_to_gateway(endpoint, switch) is is_ours


def test_turning_on_twice_is_turning_on_once() -> None:
    """Other plugins of botocore's and endpoints that somebody chose stay."""
    environment = ON | {BOTOCORE_PLUGINS: "other=some.module", "AWS_ENDPOINT_URL_DYNAMODB_STREAMS": "http://elsewhere"}
    assert not has_plugin(environment)
    turn_on(environment)
    once = dict(environment)
    turn_on(environment)
    assert environment == once
    assert once[BOTOCORE_PLUGINS] == "other=some.module,ddb-proxy=proxy.worker.botocore_plugin"
    assert once["AWS_ENDPOINT_URL_DYNAMODB"] == ON["DDB_PROXY_URL"]
    assert once["AWS_ENDPOINT_URL_DYNAMODB_STREAMS"] == "http://elsewhere"
    assert has_plugin(once)


def test_the_profile_names_address_and_file() -> None:
    """What is advised where botocore cannot be extended."""
    switch = read_switch(ON)
    assert switch is not None
    profile = profile_for(switch)
    assert f"credential_process = dynamodb-proxy token --file {DEFAULT_TOKEN_FILE}" in profile
    assert profile.count("endpoint_url = http://127.0.0.1:8080") == 2


def test_good_endpoints() -> None:
    """IPv6 and a trailing slash too."""
    assert [problem_of_endpoint(url) for url in ("http://127.0.0.1:8080/", "https://[::1]:1", "http://gateway")] == ["", "", ""]
