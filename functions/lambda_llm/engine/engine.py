"""One model, ready for requests: weights, context, caches and chat template, opened and closed together."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Literal, Self

from lambda_llm.engine.cancellation import Cancellation
from lambda_llm.engine.chat_template import ChatTemplate
from lambda_llm.engine.context import Context
from lambda_llm.engine.decoder import Decoder
from lambda_llm.engine.encoder import Encoder
from lambda_llm.engine.errors import NotEncoderError, NotGenerativeError
from lambda_llm.engine.generate import Generation, GenerationRequest
from lambda_llm.engine.loaded_model import LoadedModel
from lambda_llm.engine.prefix_cache import PrefixCache
from lambda_llm.engine.session_store import SessionStore, Storage
from lambda_llm.engine.threads import threads_for
from lambda_llm.gguf.memory_plan import MemoryPlan
from lambda_llm.gguf.options import Weights


class Engine:
    """A model with its context and caches.

    A model either generates or encodes. `decoder`, `encoder` and `prefixes` raise for the other kind, so callers use
    what they need without checking first.

    Attributes:
        model: weights and vocabulary.
        plan: the memory plan that it was opened with.
        template: renders conversations in the format that the model was trained on.
        sessions: where conversations are stored, or None.
    """

    def __init__(
        self,
        model: LoadedModel,
        plan: MemoryPlan,
        *,
        decoder: Decoder | None = None,
        encoder: Encoder | None = None,
        sessions: SessionStore | None = None,
    ) -> None:
        """Take ownership of an open model.

        Args:
            model: closed by `close`, like the other arguments.
            plan: the memory plan that it was opened with.
            decoder: its context, if it generates.
            encoder: its context, if it encodes.
            sessions: where conversations are stored; for decoders only.

        Raises:
            TemplateError: the model's chat template is not valid Jinja.
        """
        self.model = model
        self._decoder = decoder
        self._encoder = encoder
        self._prefixes = PrefixCache(decoder) if decoder else None
        self.plan = plan
        self.template = ChatTemplate(model)
        self.sessions = sessions

    @classmethod
    def open(
        cls,
        path: str,
        plan: MemoryPlan,
        *,
        encodes: bool = False,
        when_read: Callable[[], object] = lambda: None,
        storage: Storage | None = None,
        fingerprint: bytes = b"",
    ) -> Self:
        """Open a GGUF file with the options of a memory plan; on an error everything is freed again.

        Args:
            path: of the GGUF file.
            plan: its options are used; context length and placement are resolved.
            encodes: whether the header marks the model as an encoder; see `Header.encodes`.
            when_read: called once the file is no longer needed, before the KV cache is allocated.
            storage: where conversations are stored; None: nowhere.
            fingerprint: of everything that keys and values depend on; see `SessionStore`.

        Raises:
            UnsupportedModelError: llama.cpp can't run this model with these options.
            TemplateError: its chat template is not valid Jinja.
        """
        options = replace(plan.options, threads=plan.options.threads or threads_for(plan.weights))
        with ExitStack() as cleanup:
            model = cleanup.enter_context(LoadedModel(path, options.placement, when_read))
            if encodes:
                engine = cls(model, plan, encoder=cleanup.enter_context(Encoder(model, options)))
            else:
                decoder = cleanup.enter_context(Decoder(model, options))
                sessions = SessionStore(decoder, storage, fingerprint) if storage else None
                engine = cls(model, plan, decoder=decoder, sessions=sessions)
            cleanup.pop_all()
            return engine

    @property
    def encodes(self) -> bool:
        """Whether the model is an encoder."""
        return self._encoder is not None

    @property
    def context(self) -> Context:
        """The decoder or the encoder."""
        return self._decoder or self.encoder

    @property
    def decoder(self) -> Decoder:
        """The context that generates.

        Raises:
            NotGenerativeError: the model is an encoder.
        """
        if self._decoder is None:
            raise NotGenerativeError
        return self._decoder

    @property
    def encoder(self) -> Encoder:
        """The context that encodes whole texts.

        Raises:
            NotEncoderError: the model generates.
        """
        if self._encoder is None:
            raise NotEncoderError
        return self._encoder

    @property
    def prefixes(self) -> PrefixCache:
        """The cache of prompt prefixes.

        Raises:
            NotGenerativeError: the model is an encoder.
        """
        if self._prefixes is None:
            raise NotGenerativeError
        return self._prefixes

    @property
    def placement(self) -> Literal["copied", "mapped"]:
        """Placement of the weights: in llama.cpp's own memory, or mapped from the memory file."""
        return "mapped" if self.plan.options.placement is Weights.MAPPED else "copied"

    @property
    def pinned_bytes(self) -> int:
        """Memory of pinned prefixes, in addition to the KV cache."""
        return self._prefixes.bytes if self._prefixes else 0

    def generate(self, request: GenerationRequest, cancellation: Cancellation | None = None) -> Generation:
        """Prepare a generation; iterate over the result to run it.

        Args:
            request: what to generate.
            cancellation: ends the generation; several may share one.

        Raises:
            NotGenerativeError: the model is an encoder.
            ContextOverflowError: the prompt leaves no room for one token.
        """
        return Generation(request, self.decoder, self.prefixes, sessions=self.sessions, cancellation=cancellation)

    def close(self) -> None:
        """Free everything; closing twice is fine."""
        if self.sessions:
            self.sessions.close()
        for context in filter(None, (self._decoder, self._encoder)):
            context.close()
        self.model.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
