"""`stream-rec topics`: make the missing topics and nothing else, as a one-shot before the programs.

Topics that are there are left as they are. Knows no record.
"""

import json

from rich.table import Table

from consumers import terminal
from consumers.kafka_io.clients import admin
from consumers.kafka_io.topic_reading import check_reachable
from consumers.kafka_io.topics import Topics, ensure_topics, partition_counts, plans
from consumers.settings import Settings


def run(settings: Settings, *, as_json: bool = False) -> None:
    """Make what is missing and list all topics with their partitions.

    Raises:
        BrokerUnavailable: no broker answers.
        ConfigurationError: the topics by user have different numbers of partitions.
    """
    check_reachable(settings.bootstrap_servers)
    topics = Topics(settings.prefix)
    client = admin(settings)
    try:
        names = tuple(plans(topics, settings.partitions))
        before = partition_counts(client, names)
        ensure_topics(
            client,
            topics,
            partitions=settings.partitions,
            replication_factor=settings.replication_factor,
        )
        after = partition_counts(client, names)
    finally:
        client.close()
    rows = [
        {"topic": name, "partitions": count, "made": name not in before}
        for name, count in sorted(after.items())
    ]
    if as_json:
        terminal.results.print_json(json.dumps(rows))
        return
    table = Table("topic", "partitions", "", box=None)
    for row in rows:
        table.add_row(str(row["topic"]), str(row["partitions"]), "made" if row["made"] else "")
    terminal.results.print(table)
