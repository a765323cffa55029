"""`stream-rec rights`: what to grant to a program on brokers that ask, ready to be pasted.

Asks no broker: what a program needs follows from the prefix.
"""

import json
from dataclasses import asdict

from consumers import terminal
from consumers.kafka_io.rights import Right, least_rights, merged
from consumers.settings import Settings


def run(settings: Settings, program: str, principal: str, *, as_json: bool = False) -> None:
    """Print the least rights of a program as commands of Kafka's own tool, or as JSON.

    Raises:
        ConfigurationError: there is no such program.
    """
    rights = merged(least_rights(program, settings))
    if as_json:
        terminal.results.print_json(json.dumps([asdict(right) for right in rights]))
        return
    for right in rights:
        line = command(right, principal, settings.bootstrap_servers)
        terminal.results.print(line, markup=False, highlight=False)


def command(right: Right, principal: str, servers: str) -> str:
    """Return the line that grants one right.

    >>> right = Right(kind="group", name="shop.recommender", operations=("Read",))
    >>> command(right, "User:rec", "k:9092")  # doctest: +NORMALIZE_WHITESPACE
    'kafka-acls.sh --bootstrap-server k:9092 --command-config admin.properties --add
    --allow-principal User:rec --operation Read --group shop.recommender'
    """
    told = [f"--operation {operation}" for operation in right.operations]
    told.append(f"--{right.kind} {right.name}")
    if right.prefixed:
        told.append("--resource-pattern-type prefixed")
    return (
        f"kafka-acls.sh --bootstrap-server {servers} --command-config admin.properties --add "
        f"--allow-principal {principal} {' '.join(told)}"
    )
