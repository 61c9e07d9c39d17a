import math

import torch

from hwnas.proxies.derivatives.spectra import (
    by_shape,
    eigenvalues,
    entropy,
    largest_singular_value,
    singular_values,
)


def test_eigenvalues_of_a_known_matrix() -> None:
    # [[2, 1], [1, 2]] has 1 and 3.
    values = eigenvalues(torch.tensor([[2.0, 1.0], [1.0, 2.0]]))
    torch.testing.assert_close(values, torch.tensor([1.0, 3.0], dtype=torch.float64))


def test_singular_values_of_a_known_matrix() -> None:
    values = singular_values(torch.tensor([[0.0, -3.0, 0.0], [2.0, 0.0, 0.0]]))
    torch.testing.assert_close(values, torch.tensor([3.0, 2.0], dtype=torch.float64))


def test_a_matrix_that_is_not_finite_gives_nan() -> None:
    assert eigenvalues(torch.full((2, 2), torch.nan)).isnan().all()
    assert singular_values(torch.full((2, 3), torch.inf)).isnan().all()


def test_entropy() -> None:
    assert math.isclose(entropy(torch.full((4,), 3.0)), math.log(4), rel_tol=1e-6)
    assert entropy(torch.tensor([5.0, 0.0, -1e-9])) == 0
    assert math.isnan(entropy(torch.zeros(3)))
    # p = (1/4, 3/4)
    expected = 0.25 * math.log(4) + 0.75 * math.log(4 / 3)
    assert math.isclose(entropy(torch.tensor([1.0, 3.0])), expected, rel_tol=1e-6)


def test_stacks_give_what_their_matrices_give() -> None:
    torch.manual_seed(0)
    matrices = [torch.randn(n, n, dtype=torch.float64) for n in (3, 2, 3, 1, 2)]
    symmetric = [m + m.T for m in matrices]
    symmetric[2][0, 1] = torch.inf
    for values, matrix in zip(by_shape(eigenvalues, symmetric), symmetric, strict=True):
        torch.testing.assert_close(values, eigenvalues(matrix), equal_nan=True)
    for values, matrix in zip(by_shape(singular_values, matrices), matrices, strict=True):
        torch.testing.assert_close(values, singular_values(matrix))
    assert by_shape(eigenvalues, symmetric)[2].isnan().all()
    assert by_shape(eigenvalues, []) == []


def test_the_largest_singular_value_is_that_of_all() -> None:
    torch.manual_seed(0)
    for shape in ((3, 2), (2, 5), (1, 1), (4, 4)):
        for size in (1e-200, 1.0, 1e200):
            matrices = torch.randn(3, *shape, dtype=torch.float64) * size
            expected = singular_values(matrices)[:, 0]
            torch.testing.assert_close(
                largest_singular_value(matrices), expected, rtol=1e-13, atol=0
            )
    assert largest_singular_value(torch.zeros(2, 3)) == 0
    assert largest_singular_value(torch.full((2, 3), torch.inf)).isnan()
