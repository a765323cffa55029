from pathlib import Path

import pytest

from consumers.settings import Security, Settings, host_and_port, settings_from_environment
from stream_rec.errors import ConfigurationError


def test_option_comes_before_environment_and_environment_before_default() -> None:
    environment = {"STREAM_REC_PREFIX": "env", "STREAM_REC_PARTITIONS": "8"}
    settings = settings_from_environment(environment, prefix="option", slot=None)
    assert (settings.prefix, settings.partitions, settings.slot) == ("option", 8, 0)


def test_http_address_is_read_whole() -> None:
    settings = settings_from_environment({"STREAM_REC_HTTP": "0.0.0.0:8080"})
    assert (settings.http_host, settings.http_port) == ("0.0.0.0", 8080)


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
