"""The demo encoders' tokenizer: BERT's word pieces, as llama.cpp repeats them."""

from collections.abc import Iterable
from typing import Final

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

VOCABULARY: Final = 1536
PAD, UNKNOWN, CLS, SEP, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_CONTINUES: Final = "##"


def train_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Returns a WordPiece of at most `VOCABULARY` tokens, the first of which are `SPECIAL`; it knows no case."""
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    alphabet = [chr(code) for code in range(ord("!"), ord("~") + 1) if not chr(code).isupper()]
    trainer = trainers.WordPieceTrainer(
        vocab_size=VOCABULARY, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.BertProcessing((SEP, SPECIAL.index(SEP)), (CLS, SPECIAL.index(CLS)))
    return tokenizer


def gguf_tokens(tokenizer: Tokenizer) -> list[str]:
    """Returns the tokens in order, in GGUF's form: a sign before those that begin a word, none before the rest."""
    vocabulary = tokenizer.get_vocab()
    return [
        text if text in SPECIAL else text.removeprefix(_CONTINUES) if text.startswith(_CONTINUES) else f"\u2581{text}"
        for text in sorted(vocabulary, key=vocabulary.__getitem__)
    ]
