import numpy as np
import pytest
import torch

from hwnas.proxies.derivatives.covariance import covariance


@pytest.mark.parametrize("shift", [0.0, 1.0, 1e3])
def test_channels_far_from_zero(shift: float) -> None:
    rows = torch.randn(189, 5, generator=torch.Generator().manual_seed(0)) + shift
    expected = np.cov(rows.double().numpy().T, bias=True)
    np.testing.assert_allclose(covariance(rows).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_constant_channel_has_no_variance() -> None:
    rows = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    rows[:, 1] = 7.0
    assert covariance(rows)[1].abs().max() == 0


def test_of_few_rows_it_is_small_and_has_the_same_spectrum() -> None:
    rows = torch.randn(8, 20, generator=torch.Generator().manual_seed(0))
    found = covariance(rows)
    assert found.shape == (8, 8)
    expected = np.linalg.eigvalsh(np.cov(rows.double().numpy().T, bias=True))
    np.testing.assert_allclose(
        torch.linalg.eigvalsh(found).numpy(), expected[-8:], rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("shape", [(60, 4), (8, 20)])
@pytest.mark.parametrize("factor", [1e20, 1e37])
def test_large_numbers_do_not_overflow(shape: tuple[int, int], factor: float) -> None:
    rows = (torch.randn(shape, generator=torch.Generator().manual_seed(0)) + 3.0) * factor
    wide = rows.double().numpy()
    centred = wide - wide.mean(axis=0)
    expected = (centred.T @ centred if shape[0] > shape[1] else centred @ centred.T) / len(wide)
    np.testing.assert_allclose(
        covariance(rows).numpy() / factor**2, expected / factor**2, rtol=1e-5, atol=1e-6
    )


def test_what_is_not_finite_stays_so() -> None:
    rows = torch.randn(50, 3)
    rows[3, 1] = torch.inf
    assert not covariance(rows).isfinite().all()
