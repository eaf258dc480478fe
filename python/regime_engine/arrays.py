"""Short names for the types of arrays; each function says the shapes that it takes and returns."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Indices = NDArray[np.intp]
F = TypeVar("F", np.float32, np.float64)
