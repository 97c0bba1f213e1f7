"""Who opens a page inside WeChat: their openid at the official account, which JSAPI payments need."""

from __future__ import annotations

from urllib.parse import urlencode

import httpx

from cloud.channels import ChannelAway, ChannelRefused
from cloud.said import Said

TIMEOUT = httpx.Timeout(5, connect=2)
LONGEST = 128


class Login:
    """The official account appid. authorize_url and token_url are where WeChat asks the person, and tells us."""

    def __init__(self, *, appid: str, secret: str, authorize_url: str, token_url: str) -> None:
        self._appid = appid
        self._secret = secret
        self.authorize_url = authorize_url
        self._token_url = token_url

    def address(self, *, return_url: str, state: str) -> str:
        """Where the browser goes; it comes back to return_url with code and state."""
        query = urlencode(
            {
                "appid": self._appid,
                "redirect_uri": return_url,
                "response_type": "code",
                "scope": "snsapi_base",  # no question is put to the person
                "state": state,
            }
        )
        return f"{self.authorize_url}?{query}#wechat_redirect"

    def openid(self, code: str) -> str:
        """Raises ChannelAway, or ChannelRefused if the code is not WeChat's or was used."""
        parameters = {
            "appid": self._appid,
            "secret": self._secret,
            "code": code,
            "grant_type": "authorization_code",
        }
        try:
            answer = httpx.get(self._token_url, params=parameters, timeout=TIMEOUT)
            values = answer.json()
        except (httpx.HTTPError, ValueError):
            raise ChannelAway from None  # the error names the address, and that holds the secret
        if answer.status_code != 200 or not isinstance(values, dict):
            raise ChannelAway
        openid = values.get("openid")
        if not isinstance(openid, str) or not 0 < len(openid) <= LONGEST:
            raise ChannelRefused(
                reason=Said("WeChat does not say who pays ({code})", code=values.get("errcode"))
            )
        return openid
