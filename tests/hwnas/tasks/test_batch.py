import pytest
import torch

from hwnas.errors import InvalidValueError
from hwnas.tasks.batch import Batch, gaussian_batch


def test_gaussian_batch_is_standard_normal_with_uniform_labels() -> None:
    batch = gaussian_batch((3, 16, 16), 200, 4, seed=1)
    assert batch.images.shape == (200, 3, 16, 16)
    assert abs(float(batch.images.mean())) < 0.02
    assert abs(float(batch.images.std()) - 1) < 0.02
    assert batch.labels is not None
    assert (torch.bincount(batch.labels, minlength=4) > 25).all()
    assert len(batch) == 200


def test_gaussian_batch_depends_on_the_seed_only() -> None:
    state = torch.get_rng_state()
    first, second = (gaussian_batch((1, 2, 2), 3, 2, seed=5) for _ in range(2))
    assert torch.equal(first.images, second.images)
    assert not torch.equal(first.images, gaussian_batch((1, 2, 2), 3, 2, seed=6).images)
    assert torch.equal(state, torch.get_rng_state())
    assert "seed=5" in first.description


def test_part_cuts_images_and_labels() -> None:
    part = Batch(torch.arange(4.0).reshape(4, 1, 1, 1), torch.arange(4), "mine").part(1, 3)
    assert part.images.flatten().tolist() == [1.0, 2.0]
    assert part.labels is not None
    assert part.labels.tolist() == [1, 2]


@pytest.mark.parametrize(
    "images",
    [torch.zeros(3, 4, 4), torch.zeros(2, 3, 4, 4, dtype=torch.int64), torch.zeros(0, 3, 4, 4)],
)
def test_images_must_be_a_batch_of_float(images: torch.Tensor) -> None:
    with pytest.raises(InvalidValueError, match=r"`images` must be"):
        Batch(images)


def test_labels_must_fit_the_images() -> None:
    with pytest.raises(InvalidValueError, match=r"`labels` must have shape \(2,\)"):
        Batch(torch.zeros(2, 1, 1, 1), torch.zeros(3, dtype=torch.int64))


def test_an_empty_gaussian_batch_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="`size`"):
        gaussian_batch((1, 1, 1), 0, 2, 0)
