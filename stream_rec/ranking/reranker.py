"""The re-ranker: a small network over candidate features, learned online from what is taken next.

One hidden layer and a linear path; every standardised feature also comes multiplied by how new the
user is. Listwise softmax cross-entropy over the candidates (Cao et al., "Learning to rank: from
pairwise approach to listwise approach", ICML 2007), one Adam step per example. It starts from
pretrained weights, so what it has learned here grows with evidence. Knows features, not items.
"""

import hashlib
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream_rec.compiled import kernel
from stream_rec.errors import StateRejected
from stream_rec.ranking.features import Feature
from stream_rec.ranking.newcomers import Newcomers
from stream_rec.ranking.start_weights import CENTRE, HIDDEN, SCALE, start_weights


class Reranker:
    """Weights, their moments, and how many examples made them.

    `pace` is how many learn beside each other: an average moves by the mean of their steps, so
    each takes steps as much longer, and together they learn from an event what one alone would
    (the linear scaling rule: Goyal et al., "Accurate, large minibatch SGD", 2017).
    """

    def __init__(self) -> None:
        self.pace = 1
        self.examples = 0  # learned here
        self.evidence = 0  # learned here and wherever weights were taken from
        self.weights: NDArray[np.float32] = start_weights()  # (parameters,)
        self.first: NDArray[np.float32] = np.zeros_like(self.weights)  # Adam's moments
        self.second: NDArray[np.float32] = np.zeros_like(self.weights)
        self.newcomers = Newcomers()

    def scores(
        self, features: NDArray[np.float32], newness: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Score candidates, (candidates, features) to (candidates,); changes nothing.

        Args:
            features: As `features.describe` wrote them; candidates of many users at once.
            newness: Of each candidate's user: 1 without history, falling to 0 with the fifth item.
        """
        z = np.empty_like(features)
        _standardise(features, (CENTRE, SCALE), z)
        hidden, bias, output, linear = _parts(self.weights, len(Feature))
        count = len(Feature)
        active = z @ np.concatenate((hidden[:count], hidden[count:]), axis=1)
        straight = z @ np.stack((linear[:count], linear[count:]), axis=1)
        out = np.empty(len(features), np.float32)
        _combine(active, straight, newness, (bias, output), out)
        return out

    def learn(self, features: NDArray[np.float32], taken: int, newness: float) -> None:
        """Take one step towards ranking the candidate at position `taken` first."""
        self.examples += 1
        self.evidence += 1
        gradient = self._gradient(features, taken, newness)
        rate = np.float32(_RATE * min(self.pace, _FASTEST))
        _step(self.weights, gradient, (self.first, self.second), self.examples, rate)

    def _gradient(
        self, features: NDArray[np.float32], taken: int, newness: float
    ) -> NDArray[np.float32]:
        """Return the gradient of the cross-entropy of the candidate that was taken."""
        new, count = np.float32(newness), len(Feature)
        z = np.empty((len(features), count), np.float32)
        _standardise(features, (CENTRE, SCALE), z)
        hidden, bias, output, linear = _parts(self.weights, count)
        folded = hidden[:count] + new * hidden[count:]  # the two copies differ by newness alone
        active = np.maximum(z @ folded + bias, np.float32(0.0))  # (candidates, HIDDEN)
        slope = active @ output + z @ (linear[:count] + new * linear[count:])
        slope = np.exp(slope - slope.max())
        slope /= slope.sum()
        slope[taken] -= np.float32(1.0)
        back = slope[:, None] * output
        back[active <= 0.0] = 0.0
        first, straight = z.T @ back, z.T @ slope
        parts = (first, new * first, back.sum(0), active.T @ slope, straight, new * straight)
        return np.concatenate([part.ravel() for part in parts])

    def adopt(self, other: "Reranker") -> None:
        """Go on from the weights of another; one's own examples stay counted."""
        self.weights = other.weights.copy()
        self.first, self.second = other.first.copy(), other.second.copy()
        self.newcomers.adopt(other.newcomers)
        self.evidence = other.evidence

    @classmethod
    def merged(cls, parts: Sequence["Reranker"]) -> "Reranker":
        """Return the average of several workers, each weighed by its own examples."""
        out = cls()
        total = sum(part.examples for part in parts)
        if total:
            shares = [np.float32(part.examples / total) for part in parts]
            for name in ("weights", "first", "second"):
                columns = [getattr(part, name) for part in parts]
                mean = sum(s * c for s, c in zip(shares, columns, strict=True))
                setattr(out, name, np.asarray(mean, np.float32))
            out.newcomers = Newcomers.merged([part.newcomers for part in parts])
            out.examples = out.evidence = total
        return out

    def to_bytes(self) -> bytes:
        """Encode weights and evidence, with format version and checksum."""
        gains = self.newcomers.gains
        body = msgspec.msgpack.encode(
            {
                "features": [feature.name for feature in Feature],
                "hidden": HIDDEN,
                "counts": [self.examples, self.evidence],
                "newcomers": [gains.tolist(), self.newcomers.examples, self.newcomers.evidence],
                "weights": [a.tobytes() for a in (self.weights, self.first, self.second)],
            }
        )
        return _MAGIC + hashlib.blake2b(body, digest_size=16).digest() + body

    @classmethod
    def from_bytes(cls, record: bytes) -> "Reranker":
        """Restore weights.

        Raises:
            StateRejected: they are torn, bit-flipped, or made for other features.
        """
        head = len(_MAGIC) + 16
        body = record[head:]
        if record[: len(_MAGIC)] != _MAGIC:
            msg = "not a re-ranker in this format"
            raise StateRejected(msg)
        if hashlib.blake2b(body, digest_size=16).digest() != record[len(_MAGIC) : head]:
            msg = "a re-ranker with a wrong checksum"
            raise StateRejected(msg)
        fields = msgspec.msgpack.decode(body)
        if (fields["features"], fields["hidden"]) != ([f.name for f in Feature], HIDDEN):
            msg = "a re-ranker made for other features"
            raise StateRejected(msg)
        out = cls()
        out.examples, out.evidence = fields["counts"]
        out.newcomers = Newcomers(*fields.get("newcomers", ()))
        out.weights, out.first, out.second = (
            np.frombuffer(column, np.float32).copy() for column in fields["weights"]
        )
        return out


@kernel
def _parts(weights, features):  # type: ignore[no-untyped-def]
    """Cut the flat parameters: hidden (2 * features, HIDDEN), bias, output and linear path."""
    inputs = 2 * features
    hidden = weights[: inputs * HIDDEN].reshape(inputs, HIDDEN)
    bias = weights[inputs * HIDDEN : (inputs + 1) * HIDDEN]
    output = weights[(inputs + 1) * HIDDEN : (inputs + 2) * HIDDEN]
    return hidden, bias, output, weights[(inputs + 2) * HIDDEN :]


@kernel
def _standardised(features, scales, z):  # type: ignore[no-untyped-def]
    centre, scale = scales
    for column in range(z.shape[0]):
        value = (features[column] - centre[column]) * scale[column]
        z[column] = min(max(value, np.float32(-_CLIP)), np.float32(_CLIP))


@kernel
def _standardise(features, scales, z):  # type: ignore[no-untyped-def]
    for place in range(z.shape[0]):
        _standardised(features[place], scales, z[place])


@kernel
def _combine(active, straight, newness, layer, out):  # type: ignore[no-untyped-def]
    """Join the two halves of each layer by the user's newness, and score."""
    bias, output = layer
    for place in range(out.shape[0]):
        new = newness[place]
        score = straight[place, 0] + new * straight[place, 1]
        for unit in range(HIDDEN):
            value = active[place, unit] + new * active[place, HIDDEN + unit] + bias[unit]
            score += max(value, np.float32(0.0)) * output[unit]
        out[place] = score


@kernel
def _step(weights, gradient, moments, number, rate):  # type: ignore[no-untyped-def]
    """Take one step of Adam (Kingma and Ba, ICLR 2015)."""
    first, second = moments
    fading_first = np.float32(1.0 - 0.9**number)
    fading_second = np.float32(1.0 - 0.999**number)
    for place in range(weights.shape[0]):
        slope = gradient[place]
        first[place] = np.float32(0.9) * first[place] + np.float32(0.1) * slope
        second[place] = np.float32(0.999) * second[place] + np.float32(0.001) * slope * slope
        root = np.sqrt(second[place] / fading_second) + np.float32(1e-6)
        weights[place] -= rate * (first[place] / fading_first) / root


_MAGIC = b"stream-rec re-ranker 1\n"
_CLIP = 5.0  # standard deviations
_RATE = 1e-3
_FASTEST = 4  # times the rate: longer steps no longer add up
