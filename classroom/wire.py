"""Plain values as JSON and back: all that passes between a student's process and the one that judges it.

Nothing here runs code while it reads (pickle would), so whatever a student's process sends is a value or an error.
"""

import base64
from typing import Any

import numpy as np
import torch

PLAIN = (type(None), bool, int, float, str)
LARGEST = 20_000_000  # characters of one message


def encode(value: Any) -> Any:
    """``value`` as something that JSON can hold; raises ``TypeError`` where it is not a plain value."""
    if isinstance(value, PLAIN) and type(value) in PLAIN:
        return value
    if isinstance(value, torch.Tensor):
        array = value.detach().cpu().clone(memory_format=torch.contiguous_format)  # contiguous() leaves strides of a length of 1
        raw = array.reshape(-1).view(torch.uint8) if array.numel() else torch.empty(0, dtype=torch.uint8)
        return {"tensor": packed(raw.numpy()), "dtype": str(array.dtype).removeprefix("torch."), "shape": list(array.shape)}
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biuf":
        values = np.ascontiguousarray(value)
        return {
            "array": packed(values),
            "dtype": values.dtype.str,
            "shape": list(value.shape),
            "scalar": isinstance(value, np.generic),
        }
    if isinstance(value, (list, tuple)):
        return {type(value).__name__ if type(value) in (list, tuple) else "tuple": [encode(item) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(key), encode(item)] for key, item in value.items()]}
    raise TypeError(
        f"{type(value).__name__} is no plain value: give numbers, text, tensors, arrays, or lists, tuples and dicts of them"
    )


def packed(array: np.ndarray) -> str:
    """The bytes of an array in ASCII."""
    return base64.b64encode(array.tobytes()).decode()


def decode(value: Any) -> Any:
    """The value that `encode` was given; raises ``ValueError`` on anything else."""
    if isinstance(value, PLAIN):
        return value
    try:
        if "tensor" in value:
            dtype = getattr(torch, str(value["dtype"]))
            raw = (
                torch.frombuffer(bytearray(base64.b64decode(value["tensor"])), dtype=torch.uint8)
                if value["tensor"]
                else torch.empty(0, dtype=torch.uint8)
            )
            return raw.view(dtype).reshape(value["shape"])
        if "array" in value:
            array = np.frombuffer(base64.b64decode(value["array"]), dtype=np.dtype(value["dtype"])).reshape(value["shape"]).copy()
            return array[()] if value["scalar"] else array
        if "list" in value:
            return [decode(item) for item in value["list"]]
        if "tuple" in value:
            return tuple(decode(item) for item in value["tuple"])
        return {decode(key): decode(item) for key, item in value["dict"]}
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(f"not a value: {error}") from error
