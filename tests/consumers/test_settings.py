from pathlib import Path

import pytest

from consumers.settings import (
    Security,
    Settings,
    host_and_port,
    secrets_and_security,
    settings_from_environment,
)
from stream_rec.errors import ConfigurationError


def test_option_comes_before_environment_and_environment_before_default() -> None:
    environment = {"STREAM_REC_PREFIX": "env", "STREAM_REC_PARTITIONS": "8"}
    settings = settings_from_environment(environment, prefix="option", slot=None)
    assert (settings.prefix, settings.partitions, settings.slot) == ("option", 8, 0)


def test_http_address_is_read_whole() -> None:
    environment = {"STREAM_REC_HTTP": "0.0.0.0:8080", "STREAM_REC_HTTP_TOKEN": "0123456789abcdef"}
    settings = settings_from_environment(environment)
    assert (settings.http_host, settings.http_port) == ("0.0.0.0", 8080)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "shop.example"])
def test_off_loopback_a_token_is_demanded(host: str) -> None:
    with pytest.raises(ConfigurationError, match="STREAM_REC_HTTP_TOKEN"):
        Settings(http_host=host)
    assert Settings(http_host=host, http_token="0123456789abcdef").on_loopback is False


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.3.2.1"])
def test_on_loopback_no_token_is_demanded(host: str) -> None:
    assert Settings(http_host=host).on_loopback is True


@pytest.mark.parametrize("token", ["", "short", "with spaces in it all along", "naïve-naïve-naïve"])
def test_a_token_that_is_easily_guessed_or_cannot_be_sent_is_refused(token: str) -> None:
    with pytest.raises(ConfigurationError, match="token"):
        Settings(http_token=token)


def test_the_token_is_read_from_a_file_and_not_printed(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("0123456789abcdef\n")
    environment = {"STREAM_REC_HTTP_TOKEN_FILE": str(tmp_path / "token")}
    settings = settings_from_environment(environment)
    assert settings.http_token == "0123456789abcdef"
    assert "0123456789abcdef" not in repr(settings)


def test_an_empty_secret_file_is_refused_rather_than_taken_for_no_secret(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n")
    with pytest.raises(ConfigurationError, match="HTTP_TOKEN_FILE is empty"):
        settings_from_environment({"STREAM_REC_HTTP_TOKEN_FILE": str(tmp_path / "token")})


def test_a_child_is_told_the_same_security_and_token_by_its_environment() -> None:
    security = Security(
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        sasl_username="shop",
        sasl_password="hunter2",
        ssl_check_hostname=False,
    )
    told = secrets_and_security(Settings(security=security, http_token="0123456789abcdef"))
    child = settings_from_environment(told)
    assert child.security == security
    assert child.http_token == "0123456789abcdef"


@pytest.mark.parametrize("text", ["", "8080", "host:", ":80", "host:x"])
def test_address_without_host_and_port_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        host_and_port(text)


@pytest.mark.parametrize(
    "options",
    [
        {"prefix": "a b"},
        {"prefix": ""},
        {"partitions": 0},
        {"slot": -1},
        {"http_port": 70_000},
        {"replication_factor": 0},
        {"hot_profiles": 1},
        {"device": "tpu"},
    ],
)
def test_value_out_of_bounds_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        Settings(**options)  # type: ignore[arg-type]


def test_text_that_is_no_number_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="partitions"):
        settings_from_environment({"STREAM_REC_PARTITIONS": "many"})


def test_unknown_setting_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="bogus"):
        settings_from_environment({}, bogus=1)


def test_secrets_are_read_from_files_and_not_printed(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("hunter2\n")
    environment = {
        "STREAM_REC_SECURITY_PROTOCOL": "SASL_SSL",
        "STREAM_REC_SASL_MECHANISM": "SCRAM-SHA-512",
        "STREAM_REC_SASL_USERNAME": "shop",
        "STREAM_REC_SASL_PASSWORD_FILE": str(secret),
        "STREAM_REC_SSL_CAFILE": "ca.pem",
        "STREAM_REC_SSL_CHECK_HOSTNAME": "false",
    }
    settings = settings_from_environment(environment)
    options = settings.security.client_options()
    assert options["sasl_plain_password"] == "hunter2"
    assert options["ssl_cafile"] == "ca.pem"
    assert options["ssl_check_hostname"] is False
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    "options",
    [
        {"security_protocol": "TLS"},
        {"security_protocol": "SASL_SSL"},
        {"security_protocol": "SASL_SSL", "sasl_mechanism": "GSSAPI"},
        {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_username": "u"},
    ],
)
def test_security_that_cannot_work_is_refused(options: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        Security(**options)  # type: ignore[arg-type]


def test_missing_secret_file_is_a_configuration_error(tmp_path: Path) -> None:
    environment = {"STREAM_REC_SASL_PASSWORD_FILE": str(tmp_path / "none")}
    with pytest.raises(ConfigurationError, match="cannot be read"):
        settings_from_environment(environment)
