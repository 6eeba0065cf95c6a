"""Write lambda_llm/gguf/known.py, what llama.cpp knows, from its source: `python -m scripts.docs.known`.

Run it after a change of llama-cpp-python's version; a test fails until then.
"""

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Final

from scripts import ROOT
from scripts.build.llama import LLAMA_CPP

MODULE: Final = ROOT / "functions/lambda_llm/gguf/known.py"
LLAMA: Final = LLAMA_CPP / "src"

_TYPES: Final = {
    "uint32_t": "u32",
    "float": "f32",
    "bool": "bool",
    "std::string": "str",
    "int": "i32",
    "int32_t": "i32",
}
"""C++ types of what a key is read into, and GGUF's of which the key must be."""


def module() -> str:
    """Return the up-to-date module, not formatted yet."""
    vocabulary = _read("llama-vocab.cpp")
    loader = vocabulary[vocabulary.index("void llama_vocab::impl::load(") :]
    lines = [
        '"""What the packaged llama.cpp knows: written by `python -m scripts.docs.known` from its source."""',
        "",
        "from collections.abc import Mapping",
        "from typing import Final",
        "",
        f"MAX_LAYERS: Final = {_constant('LLAMA_MAX_LAYERS')}",
        f"MAX_EXPERTS: Final = {_constant('LLAMA_MAX_EXPERTS')}",
        "",
        *_names("ARCHITECTURES", [*_architecture_names().values()]),
        *_names("TOKENIZERS", re.findall(r'tokenizer_model == "([^"]+)"', loader)),
        *_names("PRE_TOKENIZERS", re.findall(r'tokenizer_pre == "([^"]+)"', loader)),
        *_names("ROPE_SCALINGS", re.findall(r'\{ LLAMA_ROPE_SCALING_TYPE_\w+, +"(\w+)" +\}', _read("llama-model.cpp"))),
        *_names("NON_CAUSAL", _architectures_with(r"hparams\.causal_attn = false;")),
        '"""Architectures whose attention is not causal, whatever the header says."""',
        "",
        *_names("RECURRENT", _architectures_in("llm_arch_is_recurrent")),
        '"""Architectures without attention: one state, however many tokens."""',
        "",
        *_names("HYBRID", _architectures_in("llm_arch_is_hybrid")),
        '"""Architectures some of whose layers are recurrent."""',
        "",
        *_names("ROTATED_IN_SECTIONS", _architectures_of_rope("LLAMA_ROPE_TYPE_MROPE", "LLAMA_ROPE_TYPE_IMROPE")),
        '"""Architectures whose header must divide the rotary dimensions into sections."""',
        "",
        *_names("EQUAL_HEADS", _architectures_with(r"GGML_ASSERT\(n_embd_head == hparams\.n_embd_head_[kv]\(\)\);")),
        '"""Architectures that need keys and values of one length."""',
        "",
        *_names("WHOLLY_ROTATED", _architectures_with(r"GGML_ASSERT\(n_embd_head == n_rot\);")),
        '"""Architectures that need rotary dimensions of the length of the values."""',
        "",
        "KEY_TYPES: Final[Mapping[str, tuple[str, bool, bool]]] = {",
        *(
            f'    "{key}": ("{kind}", {single}, {several}),'
            for key, (kind, single, several) in sorted(key_types().items())
        ),
        "}",
        '"""GGUF\'s type of what is read from each key, and whether that may be a single value, and an array. Keys of',
        'an architecture begin with a dot."""',
        "",
    ]
    return "\n".join(lines)


def key_types() -> dict[str, tuple[str, bool, bool]]:
    """The types of llama.cpp's keys, without those that are read into different types."""
    named = dict(re.findall(r'\{ (LLM_KV_\w+), +"([^"]+)" +\}', _read("llama-arch.cpp")))
    declared = _declarations(_read("llama-hparams.h"))
    kinds: dict[str, set[str]] = defaultdict(set)
    read_as: dict[str, set[str]] = defaultdict(set)
    for path in (*LLAMA.glob("*.cpp"), *LLAMA.glob("models/*.cpp")):
        text = path.read_text(encoding="utf-8")
        local = _declarations(text)
        for how, key, target in re.findall(r"get_(key_or_arr|key|arr)\(\s*(LLM_KV_\w+)\s*,\s*([\w.]+)", text):
            kind, is_array = (declared if target.startswith("hparams.") else local).get(
                target.split(".")[-1], ("", False)
            )
            # With a plain variable `get_key_or_arr` takes single values only.
            ways = {"key": "one", "arr": "many", "key_or_arr": "both" if is_array else "one"}
            kinds[key].add(kind)
            read_as[key].add(ways[how])
        for key in re.findall(r"\{ (LLM_KV_TOKENIZER_\w+), +special_\w+ +\}", text):
            kinds[key].add("u32")
            read_as[key].add("one")
    return {
        named[key].removeprefix("%s"): (
            kind,
            bool(read_as[key] & {"one", "both"}),
            bool(read_as[key] & {"many", "both"}),
        )
        for key, (kind, *others) in kinds.items()
        if kind and not others
    }


def _architecture_names() -> dict[str, str]:
    return dict(re.findall(r'\{ (LLM_ARCH_\w+), +"([^"(]+)" +\}', _read("llama-arch.cpp")))


def _architectures_in(function: str) -> list[str]:
    """The architectures for which a function of llama-arch.cpp returns true."""
    text = _read("llama-arch.cpp")
    start = text.index(f"bool {function}(")
    names = _architecture_names()
    return [names[enum] for enum in re.findall(r"LLM_ARCH_\w+", text[start : text.index("return true", start)])]


def _architectures_of_rope(*types: str) -> list[str]:
    """The architectures that always have one of these types of rotary embeddings."""
    names = _architecture_names()
    cases = re.findall(r"((?:case LLM_ARCH_\w+: *\s+)+)return (\w+);", _read("llama-model.cpp"))
    return [names[enum] for enums, kind in cases if kind in types for enum in re.findall(r"LLM_ARCH_\w+", enums)]


def _architectures_with(pattern: str) -> list[str]:
    """The architectures in whose source the pattern is found."""
    names = _architecture_names()
    cases = re.findall(r"((?:case LLM_ARCH_\w+:\s+)+)return new (llama_model_\w+)\(", _read("llama-model.cpp"))
    classes = {enum: name for enums, name in cases for enum in re.findall(r"LLM_ARCH_\w+", enums)}
    sources = [path.read_text(encoding="utf-8") for path in LLAMA.glob("models/*.cpp")]
    found = {
        name
        for text in sources
        if re.search(pattern, text)
        for name in re.findall(r"void (llama_model_\w+)::load_arch_hparams", text)
    }
    return [names[enum] for enum, name in classes.items() if name in found]


def _declarations(text: str) -> dict[str, tuple[str, bool]]:
    """The type of each variable, and whether it is an array or a vector of that; ambiguous ones have no type."""
    found: dict[str, set[tuple[str, bool]]] = defaultdict(set)
    for type_, name in re.findall(r"^ +(?:enum )?([\w:]+) +(\w+)(?: *= *[^;]+)?;", text, re.MULTILINE):
        if type_ in _TYPES or type_ == "llama_pooling_type":
            found[name].add((_TYPES.get(type_, "u32"), False))
    for type_, name in re.findall(r"^ +std::(?:array|vector)<([\w:]+)(?:, *\w+)?> +(\w+);", text, re.MULTILINE):
        if type_ in _TYPES:
            found[name].add((_TYPES[type_], True))
    return {name: next(iter(types)) for name, types in found.items() if len(types) == 1}


def _names(title: str, names: list[str]) -> list[str]:
    if not names:
        raise ValueError(f"llama.cpp's source no longer has what {title} is read from")
    return [
        f"{title}: Final = frozenset(",
        "    {",
        *(f'        "{name}",' for name in sorted(set(names))),
        "    }",
        ")",
    ]


def _constant(name: str) -> str:
    found = re.search(rf"#define {name} +(\d+)", _read("llama-hparams.h"))
    if found is None:
        raise ValueError(f"llama.cpp's source no longer defines {name}")
    return found[1]


def _read(name: str) -> str:
    return Path(LLAMA, name).read_text(encoding="utf-8")


if __name__ == "__main__":
    MODULE.write_text(module(), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "ruff", "format", MODULE], check=True)
