"""BPE-dropout: merges of the subword coder left out at random (Provilkov et al. 2020, algorithm 1).

sentencepiece's own sampling differs between processes with the same seed, so a run could not be repeated or resumed.
Therefore this module makes the merges, with sentencepiece's vocabulary. Each epoch draws a few ways to split a word and
reuses them: an epoch costs seconds rather than a minute.
"""

import random

from onepage.mt.tokenizer import END, UNKNOWN, Tokenizer
from onepage.training.seeding import keyed_seed

WAYS = 8  # to split a word, per epoch


class BpeDropout:
    """Splits sentences; at each step, a merge is left out with probability ``rate``."""

    def __init__(self, tokenizer: Tokenizer, rate: float):
        self.tokenizer, self.rate = tokenizer, rate
        pieces = tokenizer.pieces(range(len(tokenizer)))
        self.number = {piece: number for number, piece in enumerate(pieces) if number > END}
        # merges learnt earlier go first: they have the greater score
        self.rank = {piece: -tokenizer.processor.get_score(number) for piece, number in self.number.items()}
        self.random = random.Random(0)
        self.ways: dict[tuple[str, int], list[int]] = {}

    def words(self, text: str) -> list[str]:
        """The words of a sentence as the coder sees them: normalised, each with its "▁". No piece spans two words."""
        joined = "".join(self.tokenizer.processor.encode(text, out_type=str))
        return ["▁" + word for word in joined.split("▁")[1:]]

    def start(self, seed: int, epoch: int) -> None:
        """Draw new splits: ``sample`` then depends on (seed, epoch) and the calls since."""
        self.random = random.Random(keyed_seed(seed, "bpe-dropout", epoch))
        self.ways = {}

    def sample(self, words: list[str]) -> list[int]:
        """Piece ids of a sentence, ended by END."""
        ids: list[int] = []
        for word in words:
            way = word, int(self.random.random() * WAYS)
            if way not in self.ways:
                self.ways[way] = self.split(word)
            ids += self.ways[way]
        return [*ids, END]

    def split(self, word: str) -> list[int]:
        """Piece ids of a word: at each step, the best merge that is not left out, until none remains."""
        symbols, rank, draw, rate = list(word), self.rank, self.random.random, self.rate
        while True:
            best, place = float("inf"), -1
            for i in range(len(symbols) - 1):
                here = rank.get(symbols[i] + symbols[i + 1])
                if here is not None and here < best and draw() >= rate:
                    best, place = here, i
            if place < 0:
                return [self.number.get(symbol, UNKNOWN) for symbol in symbols]
            symbols[place : place + 2] = [symbols[place] + symbols[place + 1]]
