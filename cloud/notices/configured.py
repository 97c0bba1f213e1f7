"""The provider of messages of an installation, where its settings are there."""

from __future__ import annotations

from cloud.notices import Provider
from cloud.settings import Settings


def provider(settings: Settings) -> Provider | None:
    if settings.twilio_account_sid is None:
        return None
    from cloud.notices.twilio import Twilio  # the SDK takes a while, and most begin without it

    assert settings.twilio_auth_token is not None
    assert settings.twilio_sender is not None
    return Twilio(
        url=settings.twilio_url.rstrip("/"),
        account_sid=settings.twilio_account_sid,
        auth_token=settings.twilio_auth_token,
        sender=settings.twilio_sender,
        report_url=f"{settings.public_url}/api/notices/twilio",
    )
