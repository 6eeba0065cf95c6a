"""What the synthesizer of models needs, in small: a vocabulary of single bytes and a template."""

from pathlib import Path

import gguf

from scripts.models.synthesize import Tokenizer

TOKENIZER = Tokenizer(
    vocabulary="small.gguf",
    template="small.jinja",
    bos=257,
    eos=258,
    renamed={259: ("<new>", gguf.TokenType.CONTROL)},
    pre="llama-bpe",
    size=260,
)


def write_source(root: Path) -> Path:
    """Write a source package of llama-cpp-python of which only these two are left."""
    folder = root / "vendor" / "llama.cpp" / "models"
    (folder / "templates").mkdir(parents=True)
    (folder / "templates" / TOKENIZER.template).write_text("{{ bos_token }}{{ messages[0].content }}")
    # GPT-2's spelling of bytes: those that print stand for themselves, the others for letters from 256 on.
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [*map(chr, printed), *(chr(256 + index) for index in range(256 - len(printed)))]
    writer = gguf.GGUFWriter(folder / TOKENIZER.vocabulary, "llama")
    writer.add_token_list([*letters, "he", "<begin>", "<end>", "<old>"])
    writer.add_token_types([gguf.TokenType.NORMAL] * 257 + [gguf.TokenType.CONTROL] * 3)
    writer.add_token_merges(["h e"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return root
