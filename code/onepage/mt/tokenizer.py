"""Subwords: one joint byte-pair vocabulary of both languages, trained on the training split only.

sentencepiece's BPE (Sennrich et al. 2016; Kudo & Richardson 2018). The model is trained in memory, so it contains no
paths, and is stored as bytes inside ``model.pt``.
"""

import io
from collections.abc import Iterable

import sentencepiece

from onepage.errors import UserError

PAD, UNKNOWN, START, END = 0, 1, 2, 3


class Tokenizer:
    """Text to piece ids and back."""

    def __init__(self, model: bytes):
        self.model = model
        self.processor = sentencepiece.SentencePieceProcessor(model_proto=model)

    def __len__(self) -> int:
        return self.processor.get_piece_size()

    def encode(self, text: str) -> list[int]:
        """Piece ids of a sentence, ended by END."""
        return [*self.processor.encode(text), END]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids, up to the first END, without START and PAD."""
        kept = []
        for number in ids:
            if number == END:
                break
            if number not in (START, PAD):
                kept.append(int(number))
        return self.processor.decode(kept)

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """The piece of each id as text, "▁" marking the start of a word."""
        return [self.processor.id_to_piece(int(number)) for number in ids]


def train_tokenizer(sentences: Iterable[str], vocabulary: int) -> Tokenizer:
    """Learn ``vocabulary`` BPE pieces from sentences of both languages.

    Deterministic (one thread, no sampling). Raises UserError if the text has too few distinct pieces.
    """
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_writer=model,
            vocab_size=vocabulary,
            model_type="bpe",
            character_coverage=1.0,
            normalization_rule_name="nmt_nfkc",
            num_threads=1,
            pad_id=PAD,
            unk_id=UNKNOWN,
            bos_id=START,
            eos_id=END,
            pad_piece="<pad>",
            minloglevel=2,
        )
    except RuntimeError as error:
        reason = str(error).splitlines()[-1][:120]
        raise UserError(f"this text does not yield {vocabulary} pieces ({reason}); lower `vocabulary`") from None
    return Tokenizer(model.getvalue())
