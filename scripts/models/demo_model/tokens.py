"""The demo model's tokenizer and chat template: byte-level BPE that llama.cpp repeats token for token."""

import functools
import json
from collections.abc import Iterable
from typing import Final

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from scripts.models.demo_model.conversation import Conversation

VOCABULARY: Final = 1536
PRE_TOKENIZER: Final = "llama-bpe"
"""llama.cpp's name for the pre-tokenization below."""

BOS: Final = "<|begin_of_text|>"
EOS: Final = "<|end_of_text|>"
HEADER: Final = "<|start_header_id|>"
HEADER_END: Final = "<|end_header_id|>"
EOT: Final = "<|eot_id|>"
CONTROL: Final = (BOS, EOS, HEADER, HEADER_END, EOT)
"""Llama 3's names, so that whatever knows Llama 3's template knows this one."""

_SPLIT: Final = (
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_TOOLS_INTRODUCTION: Final = "To call a function, answer with its JSON."

CHAT_TEMPLATE: Final = (
    "{{- bos_token }}"
    "{%- set first = messages[0] if messages else {} %}"
    "{%- set system = first.content | trim if first.role == 'system' else '' %}"
    "{%- if system or tools %}"
    f"{{{{- '{HEADER}system{HEADER_END}\\n\\n' + system }}}}"
    "{%- if tools %}"
    f"{{{{- ('\\n\\n' if system else '') + '{_TOOLS_INTRODUCTION}' }}}}"
    "{%- for tool in tools %}"
    "{{- '\\n' + tool.function.name + '(' + (tool.function.parameters.properties or {}) | join(', ') + '): ' }}"
    "{{- tool.function.description or '' }}"
    "{%- endfor %}"
    "{%- endif %}"
    f"{{{{- '{EOT}' }}}}"
    "{%- endif %}"
    "{%- for message in messages %}"
    "{%- if not (loop.first and message.role == 'system') %}"
    f"{{{{- '{HEADER}' + message.role + '{HEADER_END}\\n\\n' }}}}"
    "{%- if message.tool_calls %}"
    "{%- for call in message.tool_calls %}"
    "{%- set arguments = call.function.arguments %}"
    '{{- \'{"name": "\' + call.function.name + \'", "parameters": \' }}'
    "{{- arguments if arguments is string else arguments | tojson }}"
    "{{- '}' }}"
    "{%- endfor %}"
    "{%- else %}"
    "{{- message.content | trim }}"
    "{%- endif %}"
    f"{{{{- '{EOT}' }}}}"
    "{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}"
    f"{{{{- '{HEADER}assistant{HEADER_END}\\n\\n' }}}}"
    "{%- endif %}"
)


def tokenizer(vocabulary: dict[str, int] | None = None, pairs: list[tuple[str, str]] | None = None) -> Tokenizer:
    """Returns a byte-level BPE of words and merges, and after them `CONTROL`; without words it is untrained."""
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs, ignore_merges=True))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    if vocabulary:
        made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in CONTROL])
    return made


def train_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Returns a byte-level BPE of `VOCABULARY` tokens, of which the last are `CONTROL`."""
    made = tokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(CONTROL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    if made.get_vocab_size() != VOCABULARY - len(CONTROL):
        raise ValueError(f"The corpus yields only {made.get_vocab_size()} tokens")
    made.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in CONTROL])
    return made


def merges(tokenizer: Tokenizer) -> list[str]:
    """Returns the merges in their order, in GGUF's form: the two parts with a space between them."""
    return [" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]


class Encoder:
    """Turns conversations into token ids, and marks those that the model learns to say."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        # Control tokens part the messages, so each may be encoded by itself, and many come again.
        self._encode = functools.lru_cache(1 << 16)(self._encode_text)

    def _encode_text(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def pieces(self, conversation: Conversation) -> list[tuple[str, bool]]:
        """Returns the text that the chat template makes, cut where learning begins and ends."""
        messages = list(conversation.messages)
        pieces = [(BOS, False)]
        system = messages.pop(0).content.strip() if messages[0].role == "system" else ""
        if conversation.tools:
            system += ("\n\n" if system else "") + _TOOLS_INTRODUCTION
        for tool in conversation.tools:
            function = tool["function"]
            system += (
                f"\n{function['name']}({', '.join(function['parameters']['properties'])}): {function['description']}"
            )
        if system:
            pieces.append((f"{HEADER}system{HEADER_END}\n\n{system}{EOT}", False))
        for message in messages:
            pieces.append((f"{HEADER}{message.role}{HEADER_END}\n\n", False))
            pieces.append((f"{message.content.strip()}{EOT}", message.taught))
        return pieces

    def encode(self, conversation: Conversation) -> tuple[list[int], list[bool]]:
        """Returns the ids, and for each whether it is taught."""
        ids: list[int] = []
        taught: list[bool] = []
        for text, is_taught in self.pieces(conversation):
            piece = self._encode(text)
            ids.extend(piece)
            taught.extend([is_taught] * len(piece))
        return ids, taught
