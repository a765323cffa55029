"""`stream-rec schema`: print the JSON Schemas and the AsyncAPI document of the contract.

Also writes all of them into a folder, which is how `docs/schema/` is made. Knows the terminal and
files, not what a schema says.
"""

import json
from pathlib import Path

from rich.table import Table

from consumers import terminal
from consumers.commands import schemas
from consumers.commands.asyncapi import document
from stream_rec.errors import ConfigurationError


def run(name: str | None, folder: Path | None) -> None:
    """List the documents, print the one of this name, or write all into a folder.

    Raises:
        ConfigurationError: there is no such document, or the folder cannot be written.
    """
    if folder is not None:
        write(folder)
        terminal.say(f"{len(documents())} documents in {folder}")
    elif name is None:
        table = Table("name", "what", box=None)
        for known in schemas.names():
            table.add_row(known, schemas.DOCUMENTS[known].title)
        table.add_row(ASYNCAPI, "All topics with their keys and messages, AsyncAPI 3.0")
        terminal.results.print(table)
    elif name in documents():
        terminal.results.print(documents()[name], end="", markup=False, highlight=False)
    else:
        msg = f"no schema {name!r}; there are {', '.join(documents())}"
        raise ConfigurationError(msg)


def documents() -> dict[str, str]:
    """Return the text of every document by its name."""
    made = {name: schemas.schema(name) for name in schemas.names()} | {ASYNCAPI: document()}
    return {
        name: json.dumps(text, indent=2, ensure_ascii=True) + "\n" for name, text in made.items()
    }


def write(folder: Path) -> None:
    """Write every document into a folder.

    Raises:
        ConfigurationError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in documents().items():
            (folder / f"{name}.json").write_text(text, encoding="utf-8")
    except OSError as error:
        msg = f"{folder}: {error.strerror}"
        raise ConfigurationError(msg) from error


ASYNCAPI = "asyncapi"
