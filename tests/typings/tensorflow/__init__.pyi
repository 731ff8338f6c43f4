# TensorFlow ships no types, and the stubs of others refuse correct code such as `tensor[..., None]`.
from typing import Any

def __getattr__(name: str) -> Any: ...
