"""The catalogue: attributes of items as arrays over the rows of the shared numbering.

An item can be known to the statistics and still be a stranger here: it is recommendable once the
catalogue names it, until it is withdrawn or not available. Knows nothing of behaviour or vectors.
"""

import re
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from stream_rec.items import Item
from stream_rec.statistics.item_index import ItemIndex

_Kind = TypeVar("_Kind", bound=np.generic)


class Labels:
    """A vocabulary of labels and the codes of each item, padded with -1."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.codes: NDArray[np.int32] = np.full((1024, 1), -1, np.int32)  # (capacity, width)
        self.items_with: NDArray[np.int64] = np.zeros(64, np.int64)  # items that carry each label
        self._code_of: dict[str, int] = {}

    def code(self, name: str) -> int:
        """Return the code of a label, -1 when no item ever had it."""
        return self._code_of.get(name, -1)

    def names_of(self, row: int) -> list[str]:
        """Return the labels of one item."""
        return [self.names[code] for code in self.codes[row].tolist() if code >= 0]

    def put(self, row: int, names: tuple[str, ...]) -> None:
        """Give an item its labels instead of those it had."""
        old = self.codes[row]
        self.items_with[old[old >= 0]] -= 1
        codes = [self._add(name) for name in dict.fromkeys(names)]
        if len(codes) > self.codes.shape[1]:
            wider = np.full((len(self.codes), len(codes)), -1, np.int32)
            wider[:, : self.codes.shape[1]] = self.codes
            self.codes = wider
        self.codes[row] = -1
        self.codes[row, : len(codes)] = codes
        self.items_with[codes] += 1

    def reserve(self, rows: int) -> None:
        """Make room for this many items."""
        self.codes = _longer(self.codes, rows, -1)

    def _add(self, name: str) -> int:
        code = self._code_of.setdefault(name, len(self.names))
        if code == len(self.names):
            self.names.append(name)
            if code >= len(self.items_with):
                self.items_with = _longer(self.items_with, code + 1, 0)
        return code


class Catalogue:
    """What producers say of items; rows are those of `items`."""

    def __init__(self, items: ItemIndex) -> None:
        self.items = items
        self.count = 0  # items named and not withdrawn
        self.changes = 0  # grows with every change: what is derived from it may be stale
        self.known: NDArray[np.bool_] = np.zeros(1024, np.bool_)  # (capacity,)
        self.recommendable: NDArray[np.bool_] = np.zeros(1024, np.bool_)  # known and available
        self.price: NDArray[np.float32] = np.full(1024, np.nan, np.float32)
        self.published_ms: NDArray[np.int64] = np.zeros(1024, np.int64)  # 0: not said
        self.categories = Labels()
        self.tags = Labels()
        self.brands = Labels()
        self.tokens = Labels()  # words of titles, and all labels: what items have in common
        self._titles: dict[int, str] = {}

    def put(self, item: Item) -> int:
        """Add or change an item; return its row."""
        row = self.items.add(item.item_id)
        self.reserve()
        self.count += not self.known[row]
        self.changes += 1
        self.known[row] = True
        self.recommendable[row] = item.available
        self.price[row] = np.nan if item.price is None else item.price
        self.published_ms[row] = item.published_at or 0
        self.categories.put(row, item.categories[:_MOST_LABELS])
        self.tags.put(row, item.tags[:_MOST_LABELS])
        self.brands.put(row, (item.brand,) if item.brand else ())
        self.tokens.put(row, self._commonest(tokens_of(item)))
        if item.title:
            self._titles[row] = item.title[:_TITLE_CHARACTERS]
        else:
            self._titles.pop(row, None)
        return row

    def _commonest(self, tokens: list[str]) -> tuple[str, ...]:
        """Keep the tokens that most items share, as far as is known yet."""
        if len(tokens) > _MOST_TOKENS:
            known = self.tokens
            shared = {
                name: known.items_with[code] if (code := known.code(name)) >= 0 else 0
                for name in tokens
            }
            tokens = sorted(tokens, key=lambda name: -shared[name])[:_MOST_TOKENS]
        return tuple(tokens)

    def withdraw(self, item_id: str) -> int:
        """Take an item out of every list; its title stays for the reasons of others.

        Return its row, -1 when nothing ever named it.
        """
        row = self.items.row(item_id)
        if row < 0 or row >= len(self.known):
            return row
        self.count -= bool(self.known[row])
        self.changes += 1
        self.known[row] = self.recommendable[row] = False
        return row

    def reserve(self) -> None:
        """Make room for every row that the numbering has given."""
        rows = len(self.items)
        if rows > len(self.known):
            self.known = _longer(self.known, rows, False)
            self.recommendable = _longer(self.recommendable, rows, False)
            self.price = _longer(self.price, rows, np.nan)
            self.published_ms = _longer(self.published_ms, rows, 0)
            for labels in (self.categories, self.tags, self.brands, self.tokens):
                labels.reserve(len(self.known))

    def title(self, row: int) -> str | None:
        """Return the title of an item, None when it has none."""
        return self._titles.get(row)


def tokens_of(item: Item) -> list[str]:
    """Return the words of an item's title and its labels, each kind apart, without repeats.

    >>> tokens_of(Item(item_id="i", title="Quiet Fan", brand="Acme", categories=("Home",)))
    ['c:home', 'b:acme', 'quiet', 'fan']
    """
    labels = [f"c:{name.lower()}" for name in item.categories]
    labels += [f"t:{name.lower()}" for name in item.tags]
    labels += [f"b:{item.brand.lower()}"] if item.brand else []
    words = _WORD.findall((item.title or "")[:_TITLE_CHARACTERS].lower())
    return list(dict.fromkeys((*labels, *words)))


def _longer(array: NDArray[_Kind], rows: int, fill: float | bool) -> NDArray[_Kind]:
    """Copy into an array with room for `rows`, and half as much again as there was."""
    capacity = len(array)
    if rows <= capacity:
        return array
    grown = max(rows, capacity + capacity // 2)
    longer = np.full((grown, *array.shape[1:]), fill, array.dtype)
    longer[:capacity] = array
    return longer


_MOST_LABELS = 32
_MOST_TOKENS = 16
_WORD = re.compile(r"\w\w+")
_TITLE_CHARACTERS = 300
