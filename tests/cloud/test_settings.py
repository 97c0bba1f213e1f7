"""The settings: checked whole, each fault in a sentence that says where to mend it."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from cloud.channels.configured import channels
from cloud.settings import BadSettings, Settings
from tests.cloud.companies import (
    APP_SECRET,
    APPID,
    KEY_SERIAL,
    MCHID,
    V3_KEY,
    pem,
    private_key,
)


def faults(path) -> list[str]:
    with pytest.raises(BadSettings) as raised:
        Settings.load(path)
    return raised.value.faults


def test_a_whole_file_loads(settings_file):
    settings = Settings.load(settings_file)
    assert (settings.listen_host, settings.listen_port) == ("127.0.0.1", 8080)
    assert settings.sandbox_merchant == "wattwell"


def test_the_environment_goes_before_the_files(settings_file, monkeypatch):
    monkeypatch.setenv("WATTWELL_LISTEN", "127.0.0.1:9090")
    monkeypatch.setenv("WATTWELL_DATABASE_URL", "postgresql://other.test/books")
    settings = Settings.load(settings_file)
    assert settings.listen_port == 9090
    assert settings.database_url == "postgresql://other.test/books"


def test_a_missing_secret_says_where_it_may_be_set(settings_file):
    secrets = settings_file.parent / "secrets"
    (secrets / "signing_key").unlink()
    assert faults(settings_file) == [
        f"signing_key is missing: set it in {settings_file}, in the file {secrets / 'signing_key'}"
        " or as WATTWELL_SIGNING_KEY."
    ]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("listen", "9080", "listen must be host:port"),
        ("listen", "127.0.0.1:99999", "listen must be host:port"),
        ("public_url", "cloud.test", "public_url must be an address like http"),
        ("database_url", "=x", "database_url must be an address like postgresql"),
        ("nats_url", "http://x", "nats_url must be an address like nats"),
        ("session_secret", "short", "session_secret must be at least 32 characters"),
        ("signing_key", "AAAA", "signing_key must be an Ed25519 key"),
        ("signing_key", "not base64!", "signing_key must be an Ed25519 key"),
        ("sandbox_channel_key", "AAAA", "sandbox_channel_key must be an Ed25519 key"),
        ("wechat_mchid", "wx12", "wechat_mchid must be the merchant's number"),
        ("wechat_appid", "1900000109", "wechat_appid must be an appid"),
        ("wechat_private_key", "AAAA", "wechat_private_key must be an RSA private key"),
        ("wechat_public_key", "AAAA", "wechat_public_key must be an RSA public key"),
        ("wechat_v3_key", "short", "wechat_v3_key must be the 32 letters and digits"),
        ("wechat_key_serial", "xyz", "wechat_key_serial must be the serial number"),
        ("alipay_app_id", "wx12", "alipay_app_id must be the application's number"),
        ("alipay_seller_id", "2021000000000001", "alipay_seller_id must be the merchant's PID"),
        ("alipay_private_key", "AAAA", "alipay_private_key must be an RSA private key"),
        ("alipay_public_key", "not base64", "alipay_public_key must be an RSA public key"),
        ("wechat_url", "api.test", "wechat_url must be an address like http"),
    ],
)
def test_a_wrong_value_is_named_with_its_source_and_never_shown(
    settings_file, monkeypatch, name, value, said
):
    monkeypatch.setenv(f"WATTWELL_{name.upper()}", value)
    (fault,) = faults(settings_file)
    assert fault.startswith(said)
    assert fault.endswith(f"(set in WATTWELL_{name.upper()}).")
    assert value not in fault


def test_an_installation_without_a_payment_channel_loads(settings_file):
    (settings_file.parent / "secrets" / "sandbox_merchant_key").unlink()
    lines = settings_file.read_text().splitlines()
    settings_file.write_text("\n".join(line for line in lines if "sandbox" not in line))
    assert channels(Settings.load(settings_file)) == {}


def test_a_channel_that_is_begun_names_all_it_lacks(settings_file):
    (settings_file.parent / "secrets" / "sandbox_merchant_key").unlink()
    settings_file.write_text(settings_file.read_text() + 'wechat_mchid = "1900000109"\n')
    told = faults(settings_file)
    secrets = settings_file.parent / "secrets"
    assert told[0] == (
        f"wechat_appid is missing: set it in {settings_file}, in the file {secrets / 'wechat_appid'}"
        " or as WATTWELL_WECHAT_APPID (channel wechat needs it)."
    )
    assert [fault.split()[0] for fault in told] == [
        "wechat_appid",
        "wechat_private_key",
        "wechat_key_serial",
        "wechat_v3_key",
        "sandbox_merchant_key",
        "wechat_app_secret",
    ]


def test_keys_of_a_channel_may_be_files_as_its_tools_write_them(settings_file):
    key = private_key()
    secrets = settings_file.parent / "secrets"
    rsa_pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    bare = "".join(rsa_pem.decode().splitlines()[1:-1])
    for written in (pem(key), rsa_pem.decode(), bare):
        (secrets / "wechat_private_key").write_text(written)
        for name, value in {
            "wechat_mchid": MCHID,
            "wechat_appid": APPID,
            "wechat_app_secret": APP_SECRET,
            "wechat_key_serial": KEY_SERIAL,
            "wechat_v3_key": V3_KEY,
        }.items():
            (secrets / name).write_text(f"{value}\n")
        settings = Settings.load(settings_file)
        assert settings.wechat_private_key == pem(key)
        assert list(channels(settings)) == ["wechat", "sandbox"]
        for secret in (pem(key)[40:80], V3_KEY, APP_SECRET):
            assert secret not in repr(settings)


def test_a_public_key_needs_its_number(settings_file):
    secrets = settings_file.parent / "secrets"
    public = private_key().public_key()
    (secrets / "wechat_public_key").write_bytes(
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    assert any(
        fault.startswith("wechat_public_key_id is missing")
        and fault.endswith("(wechat_public_key needs it).")
        for fault in faults(settings_file)
    )


def test_all_faults_are_told_at_once(settings_file):
    (settings_file.parent / "secrets" / "session_secret").write_text("short")
    settings_file.write_text(settings_file.read_text() + 'listne = "x"\npublic_url2 = "y"\n')
    told = faults(settings_file)
    assert len(told) == 3
    assert any(
        fault.startswith("session_secret") and "secrets/session_secret" in fault for fault in told
    )
    assert f"listne in {settings_file} is not a setting of the cloud; remove it." in told


def test_a_file_that_is_missing_or_no_toml_is_one_sentence(tmp_path):
    assert faults(tmp_path / "cloud.toml") == [
        f"The settings file {tmp_path / 'cloud.toml'} does not exist."
    ]
    (tmp_path / "cloud.toml").write_text("listen = ")
    (fault,) = faults(tmp_path / "cloud.toml")
    assert "is not TOML" in fault


def test_no_secret_is_shown_when_the_settings_are_printed(settings_file):
    settings = Settings.load(settings_file)
    secrets = (
        settings.session_secret,
        settings.code_secret,
        settings.database_url,
        settings.nats_url,
    )
    for secret in secrets:
        assert secret not in repr(settings)
