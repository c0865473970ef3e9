"""How outputs are searched for: the table ``[decoding]`` of a recipe.

Evaluation reads it, training does not: other settings decode the same weights again.
"""

import dataclasses
from typing import Annotated

from onepage.training.recipe import Range

LARGEST_BEAM = 100


@dataclasses.dataclass(frozen=True)
class Decoding:
    """Settings of beam search."""

    beam_size: Annotated[int, Range(1, LARGEST_BEAM)] = 5
    """Partial outputs kept of each sentence; 1 is greedy search."""
    length_penalty: Annotated[float, Range(0, 10)] = 1.0
    """alpha of Wu et al. 2016, equation 14; 0 for none."""
