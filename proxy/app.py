"""Composition root: builds every long-lived part once, starts it, tells whether it is ready, drains and stops it.

One process serves the data plane, or `workers` of them share its port; each composes itself in the ASGI lifespan, where uvicorn
hands its state to every connection (decision 19). The admin port belongs to the parent process in both cases.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import ssl
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from proxy import __version__
from proxy.aws.sigv4 import Endpoint
from proxy.aws.sts import RoleCredentials, StsClient, chain_points_at
from proxy.aws.upstream import UpstreamPool
from proxy.globs import Globs
from proxy.identity.verifier import TokenVerifier
from proxy.pipeline import Pipeline
from proxy.policy.store import PolicyError, load_policies
from proxy.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from proxy.policy.rules import Policies

log = logging.getLogger("proxy.app")
