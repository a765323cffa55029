"""What each setting of a process means, for the page of all options; a test holds both together.

Most settings are options too; every one is read from `STREAM_REC_<NAME>`. What is read from the
environment alone, and is no setting of a program, stands apart.
"""

WORDS: dict[str, str] = {
    "bootstrap_servers": "Kafka brokers, `HOST:PORT` separated by commas.",
    "prefix": "First part of all topic names, of the group's and of transactional ids.",
    "data_dir": "Folder of local state; each program and slot has its own in it.",
    "slot": "Number of this worker among its group, from 0; two live workers never share one.",
    "partitions": "Of the topics by user, where they are still to be made; existing ones decide.",
    "replication_factor": "Of topics to be made; empty: 3, or as many brokers as there are.",
    "http_host": "Where HTTP listens; set with the port by `STREAM_REC_HTTP` as `HOST:PORT`.",
    "http_port": "0 takes a free port.",
    "http_token": "What a client must send for everything but `/livez`; demanded off loopback.",
    "http_names": "Names, separated by commas, by which others may ask beside the address.",
    "model": "Language model that reads texts: `minilm` (packaged), a folder, or a cached name.",
    "format": "Dialect of events: `auto` knows each by its fields; docs/events.md lists them.",
    "device": "`auto`, `cpu` or `cuda`.",
    "hot_profiles": "Profiles of twenty events kept in memory; longer ones count for more.",
    "clean_disk_s": "Local files are written anew, without forgotten users, so long after.",
    "pseudonym_key": "`ID:SECRET[,OLDID:OLDSECRET]`: users are kept under pseudonyms by the first.",
    "lost_events": "`stop`, or `skip`: go on where retention deleted events before they were read.",
    "checkpoints": "Where bundles of adapters are: a folder or any fsspec URL.",
    "security_protocol": "`PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`.",
    "sasl_mechanism": "`SCRAM-SHA-512`, `SCRAM-SHA-256` or `PLAIN`.",
    "sasl_username": "Who this program is.",
    "sasl_password": "Its password.",
    "ssl_cafile": "Certificates of the authorities to trust.",
    "ssl_certfile": "This program's own certificate, for mutual TLS.",
    "ssl_keyfile": "Its key.",
    "ssl_password": "What the key is locked with.",
    "ssl_check_hostname": "Whether a broker's certificate must name its host.",
}

ALONE: dict[str, str] = {
    "cache_dir": "Folder of downloads and of what replays have encoded; `~/.cache/stream-rec`.",
    "trainer_threads": "Threads of a training round; half of the cores unless set.",
    "crash_at": "`POINT[:N]`: kill this process at its N-th passage; for tests of recovery only.",
}
