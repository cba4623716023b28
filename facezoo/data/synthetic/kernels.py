"""The compiled kernels, loaded when the first face is rendered."""

from __future__ import annotations

import functools
from types import ModuleType

from facezoo.types import InputError


@functools.cache
def kernels() -> ModuleType:
    """The numba rasteriser.

    Raises:
        InputError: numba is not installed.
    """
    try:
        from facezoo.data.synthetic import raster
    except ModuleNotFoundError as error:
        if error.name != "numba":
            raise
        raise InputError('drawing faces needs numba: pip install "facezoo[synth]"') from None
    return raster
