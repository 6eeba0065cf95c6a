"""One model, ready to answer: everything that belongs to it, opened and closed together."""

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

    A model either generates or encodes. `decoder` and `encoder` raise for the one that it is not, so that whoever
    needs one of them asks for it and need not ask what kind of model this is.

    Attributes:
        model: weights and vocabulary.
        plan: the memory that was planned for it.
        template: renders conversations as the model was trained to read them.
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
        """Take over an open model.

        Args:
            model: closed by `close`, as everything else that is given.
            plan: that it was opened by.
            decoder: its context, if it generates.
            encoder: its context, if it encodes.
            sessions: where conversations are stored; for decoders only.

        Raises:
            TemplateError: the model's chat template is no valid Jinja.
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
        """Open a GGUF file as a memory plan says, or raise and leave nothing behind.

        Args:
            path: of the file.
            plan: its options say how.
            encodes: whether the header says that the model encodes whole texts instead of generating.
            when_read: called when the file is no longer needed, before the KV cache takes memory, too.
            storage: where conversations are stored; None: nowhere.
            fingerprint: of everything that keys and values depend on; see `SessionStore`.

        Raises:
            UnsupportedModelError: llama.cpp can't run this model with these options.
            TemplateError: its chat template is no valid Jinja.
        """
        options = replace(plan.options, threads=plan.options.threads or threads_for(plan.weights))
        with ExitStack() as undone:
            model = undone.enter_context(LoadedModel(path, options.placement, when_read))
            if encodes:
                engine = cls(model, plan, encoder=undone.enter_context(Encoder(model, options)))
            else:
                decoder = undone.enter_context(Decoder(model, options))
                sessions = SessionStore(decoder, storage, fingerprint) if storage else None
                engine = cls(model, plan, decoder=decoder, sessions=sessions)
            undone.pop_all()
            return engine

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
        """Prefixes of prompts that are kept evaluated.

        Raises:
            NotGenerativeError: the model is an encoder.
        """
        if self._prefixes is None:
            raise NotGenerativeError
        return self._prefixes

    @property
    def placement(self) -> Literal["copied", "mapped"]:
        """Where the weights lie: in llama.cpp's own memory, or in the pages of the memory file."""
        return "mapped" if self.plan.options.placement is Weights.MAPPED else "copied"

    @property
    def pinned_bytes(self) -> int:
        """Memory that pinned prefixes take, besides the KV cache."""
        return self._prefixes.bytes if self._prefixes else 0

    def generate(self, request: GenerationRequest, cancellation: Cancellation | None = None) -> Generation:
        """Prepare a run of a request; iterate the result to generate.

        Args:
            request: what to generate.
            cancellation: ends it; several generations may share one.

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
