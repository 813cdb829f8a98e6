"""What passes between a student's process and the tests: values, as they were, and nothing else."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from classroom.wire import decode, encode


def passed(value: Any) -> Any:
    """A value after its way through JSON."""
    return decode(json.loads(json.dumps(encode(value))))


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(PLAIN)
def test_plain_values_come_back_equal_and_of_the_same_type(value: Any) -> None:
    assert passed(value) == value and type(passed(value)) is type(value)


TENSORS = [
    torch.tensor([[1.0, 2.0]]).double()[:, 0], torch.arange(12).reshape(3, 4).T, torch.tensor(True), torch.empty(0, 3), torch.ones(2, 2, requires_grad=True),
    torch.tensor([1, 2], dtype=torch.int8), torch.randn(2, 3, dtype=torch.float16), torch.randn(3).to(torch.bfloat16), torch.tensor(float("nan")),
    torch.ones(1).expand(3), torch.ones(4)[::2], torch.eye(3).diagonal(),
]  # fmt: skip


@pytest.mark.parametrize("tensor", TENSORS, ids=lambda tensor: f"{tensor.dtype} {list(tensor.shape)} {tensor.stride()}")
def test_a_tensor_comes_back_with_its_dtype_shape_and_bits(tensor: torch.Tensor) -> None:
    back = passed(tensor)
    assert back.dtype == tensor.dtype and back.shape == tensor.shape
    assert torch.equal(back.nan_to_num(7.0), tensor.detach().nan_to_num(7.0)) if tensor.is_floating_point() else torch.equal(back, tensor)


@given(arrays(np.float64, st.tuples(st.integers(0, 3), st.integers(0, 3)), elements=st.floats(allow_nan=False)))
def test_an_array_comes_back(array: np.ndarray) -> None:
    for given_array in (array, array.T, array[::2], array.astype(np.float32)):
        back = passed(given_array)
        assert back.dtype == given_array.dtype and np.array_equal(back, given_array)


def test_a_numpy_number_stays_one() -> None:
    assert passed(np.float32(0.5)) == np.float32(0.5) and isinstance(passed(np.float32(0.5)), np.float32)


@pytest.mark.parametrize("value", [object(), torch.nn.Linear(1, 1), {1, 2}, lambda: 0, np.array([object()]), 1j, b"bytes"])
def test_what_is_no_value_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="is no plain value"):
        encode(value)


@pytest.mark.parametrize("message", [
    {}, {"tensor": "AAAA", "dtype": "load", "shape": [1]}, {"tensor": "AAAAAA==", "dtype": "float32", "shape": [7]}, {"array": "AA==", "dtype": "|O", "shape": [1], "scalar": False},
    {"list": 3}, {"dict": [[1]]}, {"dict": [[{"list": []}, 1]]}, {"tensor": 3, "dtype": "float32", "shape": []}, {"tensor": "AA==", "dtype": "__class__", "shape": []},
])  # fmt: skip
def test_anything_else_that_comes_is_an_error_and_no_more(message: Any) -> None:
    with pytest.raises(ValueError):
        decode(message)
