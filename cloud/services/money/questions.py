"""Questions to payment channels: each is put until the channel has answered it for good, ever more rarely."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, or_
from sqlmodel import Session

from cloud.channels import Channel, ChannelAway
from cloud.db import Database

log = logging.getLogger(__name__)

PAUSE = timedelta(minutes=1)  # WeChat Pay takes one question a minute about the refunds of an order
PAUSE_MOST = timedelta(hours=1)

T = TypeVar("T")


def put(
    database: Database,
    channels: Mapping[str, Channel],
    due: Callable[[Session, str], list[T]],
    ask: Callable[[str, Channel, T], bool],
    *,
    is_stopping: Callable[[], bool],
) -> int:
    """Asks each channel about what is due there; how often ask said that something came of it.

    A channel that is away (ask raises ChannelAway) is left alone until the next time. Ends after the question it is
    at when is_stopping says so.
    """
    done = 0
    for name, channel in channels.items():
        with database.system() as session:
            waiting = due(session, name)
        for each in waiting:
            if is_stopping():
                return done
            try:
                done += ask(name, channel, each)
            except ChannelAway as error:
                log.warning("channel %s is away and is asked again later: %s", name, error)
                break
    return done


def is_due(asked: Any, created: Any, *, now: datetime) -> ColumnElement[bool]:
    """Whether it is time to ask again of what was asked and created at the times in these columns.

    The pause after each question is as long as the matter was old when it was put, within PAUSE and PAUSE_MOST.
    """
    return or_(
        asked.is_(None),
        asked <= now - PAUSE_MOST,
        (asked <= now - PAUSE) & (asked - created <= now - asked),
    )
