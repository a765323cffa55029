"""What one step of the adapter's training does: warm-up, clipping, accumulation, decay, dropout."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from stream_rec.language_model.backbone import Backbone
from stream_rec.language_model.lesson import Lesson, LoraSettings, Step
from stream_rec.language_model.lora import _Run, train_adapter
from stream_rec.language_model.rating_task import Reviews
from stream_rec.language_model.text_states import set_dropout

TEXTS = [f"{word} {noun}" for word in ("quiet", "loud", "a") for noun in
         ("fan", "game", "cable", "guitar", "monitor", "puzzle", "racing", "strategy")]  # fmt: skip
SETTINGS = LoraSettings(
    method="fine_tune", rank=4, learning_rate=0.01, batch=16, micro_batch=16, warmup_steps=4,
    dropout=0.0, held_out=0.1, weight_decay=0.02,
)  # fmt: skip


def lesson(**more: object) -> Lesson:
    teacher = np.eye(32, dtype=np.float32)[np.arange(len(TEXTS)) % 8]
    return Lesson(texts=TEXTS, teacher=teacher, weight=np.ones(len(TEXTS), np.float32), **more)


def run(backbone: Backbone, settings: LoraSettings = SETTINGS, **more: object) -> _Run:
    torch.manual_seed(1)
    return _Run(backbone, lesson(**more), settings, None, np.random.default_rng(1))


def test_the_rate_warms_up_and_then_stays(causal: Backbone) -> None:
    made, rates = run(causal), []
    made.optimiser.register_step_pre_hook(
        lambda optimiser, *_: rates.append(optimiser.param_groups[0]["lr"])
    )
    for number in range(1, 7):
        made.step(number)
    assert rates == pytest.approx([0.0025, 0.005, 0.0075, 0.01, 0.01, 0.01])


def test_gradients_are_clipped_together(causal: Backbone) -> None:
    norms: list[float] = []
    made = run(causal, replace(SETTINGS, sharpness=2000.0))
    with torch.no_grad():
        made.log_scale.fill_(7.0)

    def measured(optimiser: torch.optim.Optimizer, *_: object) -> None:
        grads = [p.grad for group in optimiser.param_groups for p in group["params"]]
        norms.append(float(torch.cat([g.flatten() for g in grads if g is not None]).norm()))

    made.optimiser.register_step_pre_hook(measured)
    for number in range(1, 6):
        made.step(number)
    assert max(norms) == pytest.approx(1.0, abs=1e-3)


def test_a_batch_in_parts_is_the_same_batch(causal: Backbone) -> None:
    losses, gradients = [], []
    for micro_batch in (16, 5):
        made = run(causal, replace(SETTINGS, micro_batch=micro_batch))
        found: list[torch.Tensor] = []
        made.optimiser.register_step_pre_hook(
            lambda *_, made=made, found=found: found.extend(p.grad.clone() for p in made.weights)
        )
        losses.append(made.step(1)[0])
        gradients.append(torch.cat([g.flatten() for g in found]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    cosine = torch.nn.functional.cosine_similarity(*gradients, dim=0)
    assert float(cosine) > 0.9  # what each text adds to the memory differs, nothing else


def test_only_what_the_model_gained_decays(causal: Backbone) -> None:
    written = Reviews(texts=["quiet fan", "loud fan"], ratings=np.array([1, 0], np.float32))
    made = run(causal, reviews=written)
    adapter, free = made.optimiser.param_groups
    assert (adapter["weight_decay"], free["weight_decay"]) == (0.02, 0.0)
    assert {id(p) for p in adapter["params"]} == {
        id(p) for name, p in made.model.named_parameters() if "lora_" in name
    }
    assert len(free["params"]) == 3  # the temperature, the rating head and its bias


def test_dropout_is_on_in_training_and_off_when_it_counts(causal: Backbone) -> None:
    made = run(causal, replace(SETTINGS, dropout=0.5, micro_batch=8))
    with torch.no_grad():  # a fresh adapter adds nothing, so nothing of it can be dropped
        for name, weight in made.model.named_parameters():
            if "lora_B" in name:
                weight.fill_(0.1)
    rows = list(range(8))
    assert made.held_out_loss() == made.held_out_loss()
    assert torch.equal(made.texts.vectors(rows, 512), made.texts.vectors(rows, 512))
    set_dropout(made.model, active=True)
    assert not torch.equal(made.texts.vectors(rows, 512), made.texts.vectors(rows, 512))
    assert not any(
        module.training for name, module in made.model.named_modules() if name.endswith("mlp")
    )


def test_no_text_is_asked_twice_in_a_batch_nor_when_it_is_held_out(causal: Backbone) -> None:
    made = run(causal)
    asked: list[list[int]] = []
    whole = made.texts.vectors
    made.texts.vectors = lambda rows, budget: (asked.append(list(rows)), whole(rows, budget))[1]  # type: ignore[method-assign]
    for number in range(1, 20):
        made.step(number)
    assert all(len(set(rows)) == len(rows) for rows in asked)
    assert not {row for rows in asked for row in rows} & set(made.held.tolist())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_start_that_is_no_number_aborts(causal: Backbone, value: float) -> None:
    from stream_rec.errors import TrainingFailed

    short = replace(SETTINGS, max_steps=3)
    good = train_adapter(causal, lesson(), short, seed=1, monotonic=lambda: 0.0)
    start = {name: np.full_like(array, value) for name, array in good.arrays.items()}
    seen: list[Step] = []
    with pytest.raises(TrainingFailed, match="nan"):
        train_adapter(
            causal,
            lesson(),
            short,
            start=start,
            seed=1,
            monotonic=lambda: 0.0,
            progress=seen.append,
        )
    assert seen == []
