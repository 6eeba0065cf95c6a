"""The functions that this project deploys: each has a zip of its own."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Function:
    """One function and what its zip is made from.

    Attributes:
        name: as manifests and the modules' input `function` spell it.
        handler: for Lambda's Python runtime, `module.attribute`; the zip contains what this module imports.
        extra: of pyproject.toml, which lists the packages of those imports; None: Lambda's runtime has them all.
        modules: further entry points, modules that are started by name.
        exec_wrapper: path in the zip of the program that the runtime starts instead of Python, behind the web adapter.
        native: whether it needs llama.cpp's libraries.
        aws_services: services that AWS's SDK in the zip knows; empty: the SDK is that of Lambda's runtime.
        left_out: top-level modules that are imported by what few agents use, and come in a layer.
        agent: whether a file with somebody's agent may go into the zip.
    """

    name: str
    handler: str
    extra: str | None = None
    modules: tuple[str, ...] = ()
    exec_wrapper: str | None = None
    native: bool = False
    aws_services: tuple[str, ...] = ()
    left_out: frozenset[str] = frozenset()
    agent: bool = False

    @property
    def entries(self) -> tuple[str, ...]:
        """Every entry point: the handler's module and `modules`."""
        return (self.handler.rpartition(".")[0], *self.modules)


FUNCTIONS: Final = {
    function.name: function
    for function in (
        Function(
            "inference",
            "lambda_llm.inference.handler.handle",
            extra="inference",
            modules=("lambda_llm.inference.serve",),
            exec_wrapper="bin/serve",
            native=True,
        ),
        Function("pruner", "lambda_llm.pruner.handler.handle"),
        Function("queue-worker", "lambda_llm.queue_worker.handler.handle"),
        Function("canary-rollback", "lambda_llm.canary_rollback.handler.handle"),
        Function("authorizer", "lambda_llm.authorizer.handler.handle"),
        Function("authorizer-jwt", "lambda_llm.authorizer.jwt_handler.handle", extra="authorizer-jwt"),
        # One zip for both: the server behind the web adapter, and what answers in the background.
        Function(
            "router",
            "lambda_llm.router.worker.handle",
            extra="router",
            modules=("lambda_llm.router.serve",),
            exec_wrapper="bin/serve-router",
        ),
        # One zip for two functions, whose roles differ. Lambda's SDK may not know what Bedrock's batch jobs take.
        Function(
            "batch",
            "lambda_llm.batch.handler.handle",
            extra="batch",
            modules=("lambda_llm.batch.gpu",),
            aws_services=("bedrock", "s3", "stepfunctions", "sts"),
        ),
        Function(
            "documents",
            "lambda_llm.documents.handler.handle",
            extra="documents",
            # The SDK of Lambda's runtime is of a version that may not know S3 Vectors.
            aws_services=("s3", "s3vectors", "stepfunctions", "sts"),
        ),
        Function(
            "agent",
            "lambda_llm.agent.handler.handle",
            extra="agent",
            # What agents import.
            modules=(
                "lambda_llm.agent.tools.mcp",
                "lambda_llm.agent.tools.mcp_auth",
                "lambda_llm.agent.tools.code.agentcore",
                "lambda_llm.agent.tools.code.blaxel",
                "lambda_llm.agent.tools.code.e2b",
                "lambda_llm.agent.tools.code.interpreter",
                "lambda_llm.agent.tools.code.local",
                "lambda_llm.agent.tools.code.microvm",
                "lambda_llm.agent.tools.code.source",
            ),
            # The SDK of Lambda's runtime is of a version that may not know durable executions.
            aws_services=(
                "bedrock-agentcore",
                "lambda",
                "lambda-microvms",
                "s3",
                "secretsmanager",
                "sns",
                "sts",
            ),
            left_out=frozenset({"blaxel", "e2b_code_interpreter"}),
            agent=True,
        ),
    )
}
"""By name."""
