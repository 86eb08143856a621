"""Telling a channel of a group of alerts from the bridge itself: by HTTP, or by mail."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any, Final

import httpx

from .. import wire
from ..alert_model import Channel
from ..errors import BadInput, TooMany, Unavailable, UpstreamError
from ..stores.secret_files import SecretFiles
from . import apprises
from .notifications import Group, Post, email_of, mood_of, post_of, text_of, title_of

__all__ = ["Deliverer", "MailServer"]

TIMEOUT_S: Final = 10.0
_SHOWN: Final = 200
"""Characters of a provider's own words that a message repeats."""


@dataclass(frozen=True, slots=True)
class MailServer:
    """How mail is sent where a channel does not say: `global.smtp_*` of the operator's own configuration."""

    smarthost: str = ""
    sender: str = ""
    username: str = ""
    password: str = ""
    require_tls: bool = True

    def __repr__(self) -> str:
        return f"MailServer({self.smarthost!r})"


class Deliverer:
    """Sends to channels. What goes wrong is told in the provider's words, and never with a secret.

    Args:
        mail: says how mail is sent where the channel does not.
        transport: for tests of faults that no real server produces.
    """

    def __init__(
        self,
        secrets: SecretFiles,
        *,
        mail: Callable[[], MailServer] = MailServer,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._secrets = secrets
        self._mail = mail
        # Providers are outside: where a proxy leads there, the environment says so.
        self._http = httpx.AsyncClient(
            transport=transport, timeout=TIMEOUT_S, follow_redirects=False, headers={"User-Agent": "featurewatch"}
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def send(self, channel: Channel, group: Group) -> str:
        """Tell a channel of a group, and return what its provider said, in one line.

        Raises:
            Unavailable: the provider cannot be reached, or fails by itself; TooMany: it asks to come back later.
            UpstreamError: it refuses what was sent. BadInput: the channel lacks what it needs.
        """
        secrets = await asyncio.to_thread(self._read, channel)
        if channel.kind == "email":
            return await asyncio.to_thread(self._send_mail, channel, secrets, group)
        if channel.kind == "apprise":
            return await asyncio.to_thread(_send_by_apprise, channel, secrets, group)
        return await self._post(channel, secrets, post_of(channel, secrets, group))

    def _read(self, channel: Channel) -> dict[str, str]:
        return {name: self._secrets.read(file) for name, file in channel.secrets.items()}

    async def _post(self, channel: Channel, secrets: Mapping[str, str], post: Post) -> str:
        place = f"channel {channel.name!r}: {post.host}"
        headers = {"Content-Type": "application/json", **post.headers}
        auth = None if post.auth is None else httpx.BasicAuth(*post.auth)
        try:
            async with self._http.stream(
                "POST", post.url, content=wire.dump(post.body), headers=headers, auth=auth
            ) as answer:
                said = _words(await _beginning(answer), secrets)
        except httpx.TimeoutException:
            raise Unavailable(f"{place} did not answer within {TIMEOUT_S:g} s") from None
        except httpx.TransportError as error:
            raise Unavailable(f"{place} cannot be reached ({_cleaned(str(error), secrets)})") from None
        except (httpx.InvalidURL, UnicodeError):
            raise UpstreamError(f"{place}: its address is no URL that can be asked") from None
        told = f"{place} answered {answer.status_code}{f': {said}' if said else ''}"
        if answer.status_code == 429:
            after = answer.headers.get("retry-after", "")
            raise TooMany(told, retry_after=int(after) if after.isdigit() else 1)
        if answer.status_code >= 500:
            raise Unavailable(told)
        # Teams' older connectors answer 200 to what they did not deliver, and say so in the body.
        if not answer.is_success or (channel.kind == "msteams" and "failed" in said.lower()):
            raise UpstreamError(told)
        return told

    def _send_mail(self, channel: Channel, secrets: Mapping[str, str], group: Group) -> str:
        settings, default = channel.settings, self._mail()
        smarthost = settings.get("smarthost") or default.smarthost
        sender = settings.get("from") or default.sender
        for name, value in (("smarthost", smarthost), ("from", sender)):
            if not value:
                raise BadInput(
                    f"channel {channel.name!r}: settings.{name} is missing, and so is global.smtp_{name} of "
                    "ALERTMANAGER_BASE_CONFIG"
                )
        own = bool(settings.get("username"))
        server = MailServer(
            smarthost,
            sender,
            settings["username"] if own else default.username,
            secrets.get("password", "") if own else default.password,
            settings.get("require_tls", default.require_tls),
        )
        place = f"channel {channel.name!r}: mail server {smarthost}"
        try:
            _mail(server, email_of(sender, settings["to"], group))
        except smtplib.SMTPResponseException as error:
            told = bytes(error.smtp_error).decode(errors="replace") if isinstance(error.smtp_error, bytes) else ""
            kind: type[Unavailable | UpstreamError] = Unavailable if 400 <= error.smtp_code < 500 else UpstreamError
            raise kind(f"{place} answered {error.smtp_code}: {_cleaned(told, secrets)}") from None
        except smtplib.SMTPRecipientsRefused as error:
            code, said = next(iter(error.recipients.values()))
            shown = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
            raise UpstreamError(f"{place} refused the recipient ({code}: {_cleaned(shown, secrets)})") from None
        except smtplib.SMTPNotSupportedError as error:
            raise UpstreamError(
                f"{place}: {_cleaned(str(error), secrets)}; settings.require_tls false sends unencrypted"
            ) from None
        except (OSError, smtplib.SMTPException) as error:
            raise Unavailable(f"{place} cannot be used ({_cleaned(str(error), secrets)})") from None
        return f"{place} took the mail"


def _send_by_apprise(channel: Channel, secrets: Mapping[str, str], group: Group) -> str:
    place = f"channel {channel.name!r}"
    if wrong := apprises.refusal(secrets["url"]):
        raise UpstreamError(f"{place}: {wrong}")
    service, problem = apprises.tell(secrets["url"], title_of(group), text_of(group), mood_of(group))
    if problem is not None:
        # apprise does not tell what is worth trying again.
        hidden = {**secrets, **apprises.parts(secrets["url"])}
        raise Unavailable(f"{place}: {service} did not take it{f' ({_cleaned(problem, hidden)})' if problem else ''}")
    return f"{place}: {service} took it"


def _mail(server: MailServer, mail: EmailMessage) -> None:
    host, _, port = server.smarthost.rpartition(":")
    host = host.strip("[]")
    context = ssl.create_default_context()
    # 465 is TLS from the first byte on, as Alertmanager takes it too.
    smtp = (
        smtplib.SMTP_SSL(host, int(port), timeout=TIMEOUT_S, context=context)
        if port == "465"
        else smtplib.SMTP(host, int(port), timeout=TIMEOUT_S)
    )
    with smtp:
        smtp.ehlo()
        if port != "465" and (server.require_tls or smtp.has_extn("starttls")):
            smtp.starttls(context=context)
            smtp.ehlo()
        if server.username:
            smtp.login(server.username, server.password)
        smtp.send_message(mail)


async def _beginning(answer: httpx.Response) -> str:
    """Read as much of an answer as can be shown; the rest is nobody's concern."""
    received = bytearray()
    async for chunk in answer.aiter_bytes():
        received += chunk
        if len(received) > 16 * _SHOWN:
            break
    return received.decode(errors="replace").strip()


def _words(text: str, secrets: Mapping[str, str]) -> str:
    return "" if text.startswith("<") else _cleaned(text, secrets)


def _cleaned(text: str, secrets: Mapping[str, Any]) -> str:
    for secret in secrets.values():
        text = text.replace(secret, "***")
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[:_SHOWN] + "…"
