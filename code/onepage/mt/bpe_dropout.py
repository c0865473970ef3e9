"""BPE-dropout: merges of the subword coder left out at random (Provilkov et al. 2020, algorithm 1).

sentencepiece samples too, but mixes something of its own into the seed that is set: the same seed gives other pieces in
another process, so that no run could be repeated or taken up again. Its merges are therefore carried out here, over its
vocabulary. A word takes one of a few ways to split it that are drawn anew each epoch: frequent words have no more than
those in an epoch, and an epoch costs seconds rather than a minute.
"""

import random

from onepage.mt.tokenizer import END, UNKNOWN, Tokenizer
from onepage.training.seeding import keyed_seed

WAYS = 8  # to split a word, an epoch


class BpeDropout:
    """Splits sentences with a probability ``rate`` that a merge is left out at a step."""

    def __init__(self, tokenizer: Tokenizer, rate: float):
        self.tokenizer, self.rate = tokenizer, rate
        pieces = tokenizer.pieces(range(len(tokenizer)))
        self.number = {piece: number for number, piece in enumerate(pieces) if number > END}
        # of two merges the one that was learnt first goes first: it has the greater score
        self.rank = {piece: -tokenizer.processor.get_score(number) for piece, number in self.number.items()}
        self.random = random.Random(0)
        self.ways: dict[tuple[str, int], list[int]] = {}

    def words(self, text: str) -> list[str]:
        """The words of a sentence as the coder sees them: normalised, each with its "▁". No piece spans two."""
        joined = "".join(self.tokenizer.processor.encode(text, out_type=str))
        return ["▁" + word for word in joined.split("▁")[1:]]

    def start(self, seed: int, epoch: int) -> None:
        """Draw anew: what ``sample`` then gives is a function of (seed, epoch) and the calls made since."""
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
        """Piece ids of a word: of the merges that are not left out at a step the best is made, until none is there."""
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
