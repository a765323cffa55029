"""The k best of many scores in one pass, for compiled code: a heap with the least on top."""

import numpy as np

from stream_rec.compiled import kernel, lane_kernel

FREE, BARRED, CHOSEN = 0, 1, 2  # marks of items while candidates are chosen


@kernel
def offer(heap, keys, held, row, score):  # type: ignore[no-untyped-def]
    """Offer one row to the heap; return how many it holds then.

    `heap` takes rows and `keys` their scores; their length is how many are wanted. A full heap must
    only be offered scores above keys[0]. Ties keep whom they met first.
    """
    most = heap.shape[0]
    if held < most:
        place = held
        held += 1
        while place > 0 and keys[(place - 1) >> 1] > score:
            keys[place], heap[place] = keys[(place - 1) >> 1], heap[(place - 1) >> 1]
            place = (place - 1) >> 1
    else:
        place = 0
        while True:
            child = 2 * place + 1
            if child >= most:
                break
            if child + 1 < most and keys[child + 1] < keys[child]:
                child += 1
            if keys[child] >= score:
                break
            keys[place], heap[place] = keys[child], heap[child]
            place = child
    keys[place], heap[place] = score, row
    return held


@kernel
def best_of_all(scores, allowed, mark, heap, keys):  # type: ignore[no-untyped-def]
    """Find the best of all rows that are allowed and not barred; return how many.

    A sample says which scores cannot be among the best, so that few are ever offered; should it
    have promised too much, all are looked at again.
    """
    most, sampled = heap.shape[0], 0
    few = min(most, 2 + most // _STRIDE * 2)
    if scores.shape[0] > _STRIDE * most:
        for row in range(0, scores.shape[0], _STRIDE):
            better = sampled < few or scores[row] > keys[0]
            if better and allowed[row] and mark[row] != BARRED:
                sampled = offer(heap[:few], keys[:few], sampled, row, scores[row])
    if sampled == few:
        held = _best_above(scores, keys[0], (allowed, mark), heap, keys)
        if held == most:
            return held
    return _best_above(scores, np.float32(-np.inf), (allowed, mark), heap, keys)


@kernel
def _best_above(scores, floor, door, heap, keys):  # type: ignore[no-untyped-def]
    """Find the best of the scores above a floor."""
    allowed, mark = door
    most, held, items = heap.shape[0], 0, scores.shape[0]
    for start in range(0, items, _BLOCK):
        block = scores[start : min(start + _BLOCK, items)]
        if not _any_above(block, floor):
            continue
        for place in range(block.shape[0]):
            score, row = block[place], start + place
            if score > floor and allowed[row] and mark[row] != BARRED:
                held = offer(heap, keys, held, row, score)
                floor = keys[0] if held == most else floor
    return held


@kernel
def best_of_some(rows, scores, allowed, mark, heap, keys):  # type: ignore[no-untyped-def]
    """Find the best of some rows by positive score, those allowed and not barred."""
    most, held = heap.shape[0], 0
    for row in rows:
        score = scores[row]
        if score <= 0.0 or (held == most and score <= keys[0]):
            continue
        if allowed[row] and mark[row] != BARRED:
            held = offer(heap, keys, held, row, score)
    return held


@kernel
def _any_above(block, least):  # type: ignore[no-untyped-def]
    above = 0
    for place in range(block.shape[0]):
        above += block[place] > least
    return above > 0


@lane_kernel
def sum_of_exponentials(scores, sharp):  # type: ignore[no-untyped-def]
    """Return the sum of exp(sharp * score), each to about one percent for exponents up to 10.

    As (1 + x / 4096) ** 4096, which is nothing but products, so it uses the whole lane.
    """
    total, step = 0.0, np.float32(sharp / 4096.0)
    for start in range(0, scores.shape[0], _BLOCK):
        block = np.float32(0.0)
        for place in range(start, min(start + _BLOCK, scores.shape[0])):
            value = np.float32(1.0) + step * scores[place]
            for _ in range(12):
                value *= value
            block += value
        total += float(block)
    return total


_STRIDE = 16
_BLOCK = 128  # most blocks hold no leader, and comparing a whole block costs little
