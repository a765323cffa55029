"""A real broker that trusts nobody: TLS with a CA of our own, SASL, certificates, and ACLs.

Beside the plain listener of loopback, whose anonymous user is the broker's super user and the
tests' own hand, it has one listener for SASL over TLS (SCRAM-SHA-512 and PLAIN) and one for mutual
TLS. Certificates are made by `openssl`.
"""

import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
    UserScramCredentialUpsertion,
)

from consumers.kafka_io.clients import admin
from consumers.kafka_io.rights import Right
from consumers.processes import child_process
from consumers.processes.embedded_broker import EmbeddedBroker
from consumers.settings import Security, Settings
from stream_rec.errors import BrokerUnavailable

PASSWORDS = {"scram": "correct-horse-battery", "plain": "staple-of-the-plain"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SecuredBroker:
    """Where it is reached, and the files of its authority."""

    open_servers: str
    sasl_servers: str
    tls_servers: str
    folder: Path
    given: list[ACL] = field(default_factory=list)

    def by_scram(self, user: str) -> tuple[str, Security]:
        """Make a user with a SCRAM password; return servers and security of a client of its."""
        client = admin(Settings(bootstrap_servers=self.open_servers))
        made = UserScramCredentialUpsertion(user, "SCRAM-SHA-512", PASSWORDS["scram"])
        refused = client.alter_user_scram_credentials([made])
        client.close()
        assert not any(refused.values()), refused
        return self.sasl_servers, self.sasl(user, PASSWORDS["scram"])

    def by_password(self, user: str = "plain") -> tuple[str, Security]:
        """Return servers and security of the one user whose password goes over TLS as it is."""
        return self.sasl_servers, self.sasl(user, PASSWORDS["plain"], mechanism="PLAIN")

    def by_certificate(self, user: str) -> tuple[str, Security]:
        """Make a user with a certificate; return servers and security of a client of its."""
        certificate, key = signed(self.folder, user)
        security = Security(
            security_protocol="SSL",
            ssl_cafile=str(self.folder / "ca.pem"),
            ssl_certfile=str(certificate),
            ssl_keyfile=str(key),
        )
        return self.tls_servers, security

    def sasl(self, user: str, password: str, mechanism: str = "SCRAM-SHA-512") -> Security:
        """Return the security of a client that names itself `user`."""
        return Security(
            security_protocol="SASL_SSL",
            sasl_mechanism=mechanism,
            sasl_username=user,
            sasl_password=password,
            ssl_cafile=str(self.folder / "ca.pem"),
        )

    def grant(self, user: str, rights: Iterable[Right]) -> None:
        """Let `user` do exactly `rights` more."""
        acls = [_acl(user, right, name) for right in rights for name in right.operations]
        client = admin(Settings(bootstrap_servers=self.open_servers))
        done = client.create_acls(acls)
        client.close()
        assert not done["failed"], done

    def revoke(self, user: str) -> None:
        """Take every right of `user` away."""
        everything = ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY)
        chosen = ACLFilter(
            f"User:{user}", None, ACLOperation.ANY, ACLPermissionType.ANY, everything
        )
        client = admin(Settings(bootstrap_servers=self.open_servers))
        client.delete_acls([chosen])
        client.close()


@contextmanager
def secured_broker(folder: Path) -> Iterator[SecuredBroker]:
    """Start one, twice if a port was taken meanwhile, and stop it.

    Where there is no `openssl` the test that asks is skipped.
    """
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make certificates")
    authority(folder)
    certificate, key = signed(folder, "broker")
    pair = folder / "broker-pair.pem"
    pair.write_text(key.read_text() + certificate.read_text())
    for attempt in (1, 2):
        sasl, tls = child_process.free_port(), child_process.free_port()
        broker = EmbeddedBroker()
        try:
            broker.start(
                folder / f"kafka-{attempt}", extra_properties=properties(folder, pair, sasl, tls)
            )
            broker.wait_ready(90)
            break
        except BrokerUnavailable:
            broker.stop()
            if attempt == 2:
                raise
    try:
        yield SecuredBroker(
            open_servers=broker.bootstrap_servers,
            sasl_servers=f"localhost:{sasl}",
            tls_servers=f"localhost:{tls}",
            folder=folder,
        )
    finally:
        broker.stop()


def properties(folder: Path, pair: Path, sasl: int, tls: int) -> dict[str, str]:
    """Return what the broker is told beside what it is always told."""
    login = "org.apache.kafka.common.security"
    listener = "listener.name.sasl_ssl"
    return {
        "listeners": f"SASL_SSL://127.0.0.1:{sasl},SSL://127.0.0.1:{tls}",
        "advertised.listeners": f"SASL_SSL://localhost:{sasl},SSL://localhost:{tls}",
        "listener.security.protocol.map": "SASL_SSL:SASL_SSL,SSL:SSL",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "allow.everyone.if.no.acl.found": "false",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(pair),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(folder / "ca.pem"),
        "ssl.principal.mapping.rules": r"RULE:^CN=([^,]+).*$/$1/,DEFAULT",
        "listener.name.ssl.ssl.client.auth": "required",
        f"{listener}.sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
        f"{listener}.scram-sha-512.sasl.jaas.config": f"{login}.scram.ScramLoginModule required;",
        f"{listener}.plain.sasl.jaas.config": (
            f'{login}.plain.PlainLoginModule required user_plain="{PASSWORDS["plain"]}";'
        ),
    }


def authority(folder: Path) -> None:
    """Make the authority: `ca.pem` and its key."""
    _openssl(
        folder,
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=authority"),
        *("-addext", "basicConstraints=critical,CA:TRUE"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
    )


def signed(folder: Path, name: str) -> tuple[Path, Path]:
    """Return a certificate of the authority for `name`, made if need be, and its key."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    if not certificate.exists():
        _openssl(
            folder,
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", key.name, "-out", f"{name}.csr", "-subj", f"/CN={name}"),
        )
        (folder / "names.cnf").write_text("subjectAltName=DNS:localhost\n")
        _openssl(
            folder,
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key"),
            *("-CAcreateserial", "-days", "2", "-extfile", "names.cnf", "-out", certificate.name),
        )
    return certificate, key


def _acl(user: str, right: Right, operation: str) -> ACL:
    kinds = {
        "topic": ResourceType.TOPIC,
        "group": ResourceType.GROUP,
        "transactional-id": ResourceType.TRANSACTIONAL_ID,
        "cluster": ResourceType.CLUSTER,
    }
    how = ACLResourcePatternType.PREFIXED if right.prefixed else ACLResourcePatternType.LITERAL
    return ACL(
        f"User:{user}",
        "*",
        ACLOperation[OPERATIONS.get(operation, operation.upper())],
        ACLPermissionType.ALLOW,
        ResourcePattern(kinds[right.kind], right.name, how),
    )


def _openssl(folder: Path, *arguments: str) -> None:
    done = subprocess.run(
        ["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


OPERATIONS = {"DescribeConfigs": "DESCRIBE_CONFIGS", "IdempotentWrite": "IDEMPOTENT_WRITE"}
