"""How outputs are searched for: the table ``[decoding]`` of a recipe.

Evaluation reads it, training does not: other settings decode the same weights anew.
"""

import dataclasses

LARGEST_BEAM = 100


@dataclasses.dataclass(frozen=True)
class Decoding:
    """Settings of beam search."""

    beam_size: int = 5
    """Partial outputs kept of each sentence; 1 is greedy search."""
    length_penalty: float = 1.0
    """alpha of Wu et al. 2016, equation 14; 0 for none."""

    def check(self) -> str | None:
        """What is wrong with the values, or None."""
        if not 1 <= self.beam_size <= LARGEST_BEAM:
            return f"beam_size from 1 to {LARGEST_BEAM}, got {self.beam_size}"
        if not 0 <= self.length_penalty <= 10:
            return f"length_penalty in [0, 10], got {self.length_penalty}"
        return None
