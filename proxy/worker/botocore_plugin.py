"""A plugin of botocore (BOTOCORE_EXPERIMENTAL__PLUGINS): DynamoDB clients, and only those, talk to the gateway.

Works by the client's events alone, for boto3, resources and aiobotocore. Before a request leaves, it is looked at once more:
whatever a version of botocore made of our events, AWS keys never go to the gateway nor gateway keys past it.
"""

from __future__ import annotations

import asyncio
import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from proxy.worker import denials
from proxy.worker.claims import HEADERS, claimed_headers
from proxy.worker.credentials import AsyncKeys, NoCredentials, source_of
from proxy.worker.switch import SwitchError, goes_to_gateway, is_loopback, is_of_aws, profile_for, read_switch
from proxy.worker.usage import USAGE, Counting

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.worker.credentials import Keys
    from proxy.worker.switch import Switch

LOG = logging.getLogger("proxy.worker")
SERVICES = ("dynamodb", "dynamodbstreams")
_LOGGED_IN_AGAIN = "ddb_proxy_logged_in_again"
# The session token that the request of this thread or asynchronous task is to carry.
_signed_with: ContextVar[str] = ContextVar("ddb_proxy_signed_with", default="")


def initialize_client_plugin(client: Any) -> None:
    """Called by botocore for every client that it makes; what is raised here it hides: so it is logged, and no call leaves."""
    try:
        if client.meta.service_model.service_name not in SERVICES:
            return
        switch = read_switch()
        if switch is not None and goes_to_gateway(client.meta.endpoint_url, switch):
            adapt(client, switch)
    except SwitchError as error:
        LOG.warning("DynamoDB does not go through the gateway: %s", error)
        stop(client, str(error))
        raise
    except Exception:  # whatever a botocore that we do not know makes of it: no request may leave past the gateway; raised again
        LOG.warning("DynamoDB does not go through the gateway: %s", unsupported(), exc_info=True)
        stop(client, unsupported())
        raise


def stop(client: Any, why: str) -> None:
    """Let no call of this client leave for AWS past the gateway that the worker was told to use. DynamoDB Local is left alone."""

    def refuse(**_: Any) -> None:
        raise RuntimeError(f"no DynamoDB request leaves: {why}")

    if is_of_aws(client.meta.endpoint_url):
        service = client.meta.service_model.service_id.hyphenize()
        client.meta.events.register_first(f"before-call.{service}", refuse, unique_id="ddb-proxy-stop")


def unsupported() -> str:
    """What to do where this botocore cannot be extended so."""
    switch = read_switch()
    profile = profile_for(switch) if switch else ""
    return (
        "this version of botocore does not know the events that the plugin relies on; unset DDB_PROXY_URL, let AWS_CONFIG_FILE "
        f"name a file with the profile below, and name the profile in the connection ('profile_name': 'ddb-proxy')\n{profile}"
    )


def adapt(client: Any, switch: Switch) -> None:
    """Give this client the gateway's address and keys, and its requests the task's claims. Once is enough."""
    is_async = asyncio.iscoroutinefunction(client._make_api_call)
    service = client.meta.service_model.service_id.hyphenize()
    handlers = Handlers(switch)
    counting = Counting(client.meta.region_name, asks_units=switch.asks_units)
    keep_off_proxies(client, switch)
    events: tuple[tuple[str, Callable[..., Any]], ...] = (
        ("before-parameter-build", counting.note_tables),
        ("before-endpoint-resolution", handlers.choose_endpoint),
        ("before-call", counting.note_call),
        ("choose-signer", handlers.choose_signer),
        ("before-sign", handlers.prepare_async if is_async else handlers.prepare),
        ("before-send", handlers.check),
        ("response-received", counting.note_answer),
        ("after-call", counting.note_end),
    )
    for event, handler in events:
        client.meta.events.register(f"{event}.{service}", handler, unique_id=f"ddb-proxy-{event}")
    # these come before botocore's own
    first: tuple[tuple[str, Callable[..., Any]], ...] = (
        ("before-sign", counting.note_attempt),
        ("needs-retry", handlers.log_in_again),
    )
    for event, handler in first:
        client.meta.events.register_first(f"{event}.{service}", handler, unique_id=f"ddb-proxy-first-{event}")


def keep_off_proxies(client: Any, switch: Switch) -> None:
    """No proxy of the environment for what is on this machine or in NO_PROXY; botocore looked at AWS's address."""
    url = urlsplit(switch.url)
    if url.scheme in getproxies() and (is_loopback(url.hostname or "") or proxy_bypass(url.netloc)):
        proxies = client._endpoint.http_session._proxy_config._proxies
        proxies.pop(url.scheme, None)


class Handlers:
    """What happens to a request of one client, in the order of its events."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch

    def choose_endpoint(self, builtins: dict[Any, Any], context: dict[str, Any], **_: Any) -> None:
        """The gateway, in every Region. Neither the account id of keys that are not used nor AWS's endpoint is looked up."""
        context.pop("discovery", None)
        known = {getattr(key, "value", key): key for key in builtins}
        for name, value in (
            ("SDK::Endpoint", self._switch.url),
            ("AWS::UseFIPS", False),
            ("AWS::UseDualStack", False),
            ("AWS::Auth::AccountId", None),
            ("AWS::Auth::AccountIdEndpointMode", "disabled"),
        ):
            builtins[known.get(name, name)] = value

    def choose_signer(self, **_: Any) -> str:
        """SigV4, also where a connection says unsigned or bearer: the session token travels in it."""
        return "v4"

    def prepare(self, request: Any, **_: Any) -> None:
        """Claims become headers before the signature, and the keys are those of the gateway."""
        self._put(request, self._keys())

    async def prepare_async(self, request: Any, **_: Any) -> None:
        """As `prepare`; the event loop does not wait while the gateway is asked for a session."""
        ready = source_of(self._switch).is_ready()
        keys = self._keys() if ready else await asyncio.to_thread(self._keys)
        self._put(request, AsyncKeys(*keys))

    def check(self, request: Any, **_: Any) -> None:
        """What leaves goes to the gateway and carries its keys. Raises where botocore did not follow the events."""
        token = request.headers.get("X-Amz-Security-Token", "")
        token = token.decode() if isinstance(token, bytes) else token
        if not request.url.startswith(f"{self._switch.url}/") or token != _signed_with.get():
            raise RuntimeError(unsupported())

    def log_in_again(self, response: Any, request_dict: dict[str, Any], **_: Any) -> int | None:
        """Once a call: a session that is over is forgotten, and the call tried again at once. It was not served, so it may be."""
        context = request_dict["context"]
        if response is None or _LOGGED_IN_AGAIN in context or denials.reason_of(response[1]) not in denials.SESSION_OVER:
            return None
        context[_LOGGED_IN_AGAIN] = True
        source_of(self._switch).forget(context["signing"]["request_credentials"])
        return 0

    def _put(self, request: Any, keys: Keys) -> None:
        for header, _ in HEADERS:
            del request.headers[header]
        for header, value in claimed_headers().items():
            request.headers[header] = value
        request.context.setdefault("signing", {})["request_credentials"] = keys
        _signed_with.set(keys.token)

    def _keys(self) -> Keys:
        try:
            return source_of(self._switch).keys()
        except NoCredentials as error:
            if error.is_final:
                USAGE.add_denial()
                denials.end_task(str(error))
            # not a ClientError, which DynamoDBValueSensor takes for "not yet"
            from botocore.exceptions import CredentialRetrievalError

            raise CredentialRetrievalError(provider="dynamodb-proxy", error_msg=str(error)) from error
