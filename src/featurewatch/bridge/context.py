"""What every route is handed: the bridge's parts, put together once by `app`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from starlette.requests import Request

from ..access import Action, Principal
from ..alerts.book import RuleBook
from ..alerts.channel_book import ChannelBook
from ..alerts.publishing import Publishing
from ..alerts.webhook_token import WebhookToken
from ..errors import Forbidden, Unauthenticated
from ..settings import Settings
from ..snapshots import Snapshots
from ..stores import Stores
from ..streams.hub import Hub
from .alerting import Alerting
from .auth import Authenticator
from .catalog import Catalog
from .checkup import Checkup
from .flight import SingleFlight
from .intake import Intake
from .meters import Meters
from .recent import Recent
from .throttle import Rates

Need: TypeAlias = Action | Literal["any"] | None

NOBODY: Final = Principal("nobody", "viewer", ())
"""Whoever asks where nobody is asked who they are: sees no feature."""


@dataclass(frozen=True, slots=True)
class Bridge:
    """The running bridge. `clock` is nanoseconds since the epoch."""

    settings: Settings
    clock: Callable[[], int]
    stores: Stores
    authenticator: Authenticator
    catalog: Catalog
    rules: RuleBook
    hub: Hub
    snapshots: Snapshots
    intake: Intake
    meters: Meters
    flights: SingleFlight
    recent: Recent
    rates: Rates
    alerting: Alerting
    channels: ChannelBook
    publishing: Publishing
    webhook_token: WebhookToken
    checkup: Checkup

    async def admit(self, request: Request, action: Need, *, ticket: bool = False) -> Principal:
        """Find out who asks and whether they may.

        Args:
            action: what they need to be allowed to do; "any": to be someone; None: nobody is asked who they are.
            ticket: whether a ticket opens this, as it does streams; elsewhere it would be spent for nothing.

        Raises:
            Unauthenticated, Forbidden, TooMany.
        """
        if action is None:
            return NOBODY
        caller = await self.identify(request, ticket=ticket)
        self.rates.spend(caller, _address(request), "stream" if ticket else "ingest" if action == "ingest" else "query")
        if action != "any" and not caller.may(action):
            raise Forbidden(f"role {caller.role} of {caller.name!r} does not include {action!r}, which this needs")
        return caller

    async def identify(self, request: Request, *, ticket: bool = False) -> Principal:
        """Find out who asks. Those who cannot say it are bounded by their address.

        Raises:
            Unauthenticated, Forbidden, TooMany, Unavailable.
        """
        shown = request.query_params.get("ticket", "") if ticket else ""
        try:
            caller = await self.authenticator.from_headers(
                request.headers, method=request.method, ticket=shown, client=_address(request)
            )
        except Unauthenticated:
            self.rates.spend(None, _address(request))
            raise
        if caller is None:
            self.rates.spend(None, _address(request))
            raise Unauthenticated(f"a credential is missing, or over: send {self.authenticator.wanted}")
        return caller


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
