"""Questions put to a GGUF file through llama.cpp, and a count of what came back right."""

import collections
import dataclasses
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import llama_cpp
import numpy as np

_TOKENS_MAX: Final = 1024
"""Longer than any answer; a model that does not end is cut off here."""


@dataclasses.dataclass
class Report:
    """What an examination found."""

    asked: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    right: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    wrong: list[dict[str, str]] = dataclasses.field(default_factory=list)
    margins: dict[str, float] = dataclasses.field(default_factory=dict)
    """Least lead of a right answer's tokens over their best rivals, in logits, by kind of question."""

    def lines(self) -> list[str]:
        """Returns the rows of a Markdown table: kind, asked, right, least lead."""
        return [
            f"| {kind} | {asked} | {self.right[kind]} | {self.right[kind] / asked:.1%} | {self.margins[kind]:.1f} |"
            for kind, asked in self.asked.items()
        ]


class Pupil:
    """A model file, opened by llama.cpp with one thread for tokens: the model is too small for more."""

    def __init__(self, path: Path) -> None:
        # Keys and values in F32 leave only the weights' own rounding to compare with PyTorch.
        self._llama: Any = llama_cpp.Llama(
            str(path),
            n_ctx=2048,
            n_batch=2048,
            n_ubatch=2048,
            n_threads=1,
            n_threads_batch=2,
            logits_all=True,
            type_k=llama_cpp.GGML_TYPE_F32,
            type_v=llama_cpp.GGML_TYPE_F32,
            verbose=False,
        )
        metadata = self._llama.metadata
        self._end = self.text([int(metadata["tokenizer.ggml.eos_token_id"])])
        self._formatter: Any = llama_cpp.llama_chat_format.Jinja2ChatFormatter(
            template=metadata["tokenizer.chat_template"],
            bos_token=self.text([int(metadata["tokenizer.ggml.bos_token_id"])]),
            eos_token=self._end,
        )

    def text(self, ids: list[int]) -> str:
        """Returns the text of ids, control tokens spelled out."""
        return str(self._llama.detokenize(ids, special=True).decode())

    def ids(self, text: str) -> list[int]:
        """Returns llama.cpp's ids of a text that has its control tokens spelled out."""
        return list(self._llama.tokenize(text.encode(), add_bos=False, special=True))

    def prompt(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None) -> str:
        """Returns the text that the model's own chat template makes of messages."""
        return str(self._formatter(messages=messages, tools=tools).prompt)

    def logits(self, ids: list[int]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Returns logits (len(ids), vocabulary) of a text that begins with these ids."""
        self._llama.reset()
        self._llama.eval(ids)
        return np.array(self._llama.scores[: len(ids)])

    def answer(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None) -> str:
        """Returns the answer at temperature 0, token by token."""
        prompt = self.ids(self.prompt(messages, tools))
        produced: list[int] = []
        for token in self._llama.generate(prompt, temp=0.0):
            if token == self._llama.token_eos() or len(produced) == _TOKENS_MAX:
                break
            produced.append(token)
        return self.text(produced)

    def margin(self, messages: list[dict[str, Any]], answer: str, tools: list[dict[str, Any]] | None = None) -> float:
        """Returns the least lead of the answer's tokens, its end included, over their best rivals."""
        prompt = self.ids(self.prompt(messages, tools))
        said = self.ids(answer + self._end)
        scores = self.logits(prompt + said)[len(prompt) - 1 : -1]
        rows = np.arange(len(said))
        chosen = scores[rows, said].copy()
        scores[rows, said] = -np.inf
        return float((chosen - scores.max(axis=1)).min())


def examine(pupil: Pupil, cases: Iterable[dict[str, Any]], step: Callable[[], None]) -> Report:
    """Asks every case of `evaluation.jsonl` and compares the whole answers.

    Args:
        pupil: The model.
        cases: Parsed lines of the examination.
        step: Called after each case.
    """
    report = Report()
    for case in cases:
        kind, messages, tools = case["kind"], case["messages"], case.get("tools")
        answer = pupil.answer(messages, tools)
        report.asked[kind] += 1
        report.margins.setdefault(kind, float("inf"))
        if answer == case["answer"]:
            report.right[kind] += 1
            report.margins[kind] = min(report.margins[kind], pupil.margin(messages, answer, tools))
        else:
            report.wrong.append({"kind": kind, "question": messages[-1]["content"], "answer": answer})
        step()
    return report


def read(path: Path) -> list[dict[str, Any]]:
    """Reads an examination, one JSON object a line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
