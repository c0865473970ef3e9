"""Settings of beam search: the table ``[decoding]`` of a recipe, which evaluation alone reads."""

import dataclasses
from typing import Annotated

from onepage.training.recipe import Range


@dataclasses.dataclass(frozen=True)
class Decoding:
    """Settings of beam search."""

    beam_size: Annotated[int, Range(1, 100)] = 5
    """Partial outputs kept per sentence; 1 is greedy search."""
    length_penalty: Annotated[float, Range(0, 10)] = 1.0
    """alpha of Wu et al. 2016, equation 14; 0 for none."""
