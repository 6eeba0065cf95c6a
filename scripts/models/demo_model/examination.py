"""Evaluate a GGUF file through llama.cpp: ask questions and count the right answers."""

import collections
import dataclasses
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import llama_cpp
import numpy as np

_TOKENS_MAX: Final = 1024
"""Longer than any expected answer; generation stops here."""


@dataclasses.dataclass
class Report:
    """Result of an evaluation."""

    asked: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    right: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    wrong: list[dict[str, str]] = dataclasses.field(default_factory=list)
    margins: dict[str, float] = dataclasses.field(default_factory=dict)
    """Smallest margin of a right answer's tokens over the runners-up, in logits, by kind of question."""

    def lines(self) -> list[str]:
        """Return the rows of a Markdown table: kind, asked, right, share, smallest margin."""
        return [
            f"| {kind} | {asked} | {self.right[kind]} | {self.right[kind] / asked:.1%} | {self.margins[kind]:.1f} |"
            for kind, asked in self.asked.items()
        ]


class Pupil:
    """A model file, opened by llama.cpp with one thread for decode: the model is too small for more."""

    def __init__(self, path: Path) -> None:
        # With a KV cache in F32, only the weights' rounding differs from PyTorch.
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
        """Return the text of token ids, including control tokens."""
        return str(self._llama.detokenize(ids, special=True).decode())

    def ids(self, text: str) -> list[int]:
        """Return llama.cpp's token ids of a text that includes control tokens."""
        return list(self._llama.tokenize(text.encode(), add_bos=False, special=True))

    def prompt(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None) -> str:
        """Return the messages as rendered by the model's own chat template."""
        return str(self._formatter(messages=messages, tools=tools).prompt)

    def logits(self, ids: list[int]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return the logits (len(ids), vocabulary) of token ids."""
        self._llama.reset()
        self._llama.eval(ids)
        return np.array(self._llama.scores[: len(ids)])

    def answer(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None) -> str:
        """Return the answer at temperature 0."""
        prompt = self.ids(self.prompt(messages, tools))
        generated: list[int] = []
        for token in self._llama.generate(prompt, temp=0.0):
            if token == self._llama.token_eos() or len(generated) == _TOKENS_MAX:
                break
            generated.append(token)
        return self.text(generated)

    def margin(self, messages: list[dict[str, Any]], answer: str, tools: list[dict[str, Any]] | None = None) -> float:
        """Return the smallest margin of the answer's tokens, its end included, over the runners-up, in logits."""
        prompt = self.ids(self.prompt(messages, tools))
        answer_ids = self.ids(answer + self._end)
        scores = self.logits(prompt + answer_ids)[len(prompt) - 1 : -1]
        rows = np.arange(len(answer_ids))
        chosen = scores[rows, answer_ids].copy()
        scores[rows, answer_ids] = -np.inf
        return float((chosen - scores.max(axis=1)).min())


def examine(pupil: Pupil, cases: Iterable[dict[str, Any]], step: Callable[[], None]) -> Report:
    """Ask every case of `evaluation.jsonl` and compare the whole answers.

    Args:
        pupil: the model.
        cases: parsed lines of the file.
        step: called after each case.
    """
    report = Report()
    for case in cases:
        kind, messages, tools = case["kind"], list(case["messages"]), case.get("tools")
        report.asked[kind] += 1
        report.margins.setdefault(kind, float("inf"))
        margins = []
        steps = [(step["call"], step["result"]) for step in case.get("steps", ())]
        for wanted, result in [*steps, (case["answer"], "")]:
            answer = pupil.answer(messages, tools)
            if answer != wanted:
                report.wrong.append({"kind": kind, "question": messages[-1]["content"], "answer": answer})
                break
            margins.append(pupil.margin(messages, answer, tools))
            messages += [{"role": "assistant", "content": answer}, {"role": "tool", "content": result}]
        else:
            report.right[kind] += 1
            report.margins[kind] = min(report.margins[kind], *margins)
        step()
    return report


def read(path: Path) -> list[dict[str, Any]]:
    """Read the cases, one JSON object per line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
