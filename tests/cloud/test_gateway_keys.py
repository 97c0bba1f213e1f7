import hmac

from cloud.services.gateway_keys import code_key

SECRET = "c" * 43


def test_a_gateways_code_key_is_hkdf_of_the_code_secret_and_its_number():
    # RFC 5869 by hand: PRK = HMAC(32 zeros, secret); T(1) = HMAC(PRK, info 01).
    prk = hmac.digest(bytes(32), SECRET.encode(), "sha256")
    info = b"wattwell code key 1\nGW-0001"
    assert code_key(SECRET, gateway_no="GW-0001") == hmac.digest(prk, info + b"\x01", "sha256")


def test_each_gateway_and_each_installation_has_another():
    keys = {
        code_key(SECRET, gateway_no="GW-0001"),
        code_key(SECRET, gateway_no="GW-0002"),
        code_key(SECRET.upper(), gateway_no="GW-0001"),
    }
    assert len(keys) == 3
