"""A server of the Model Context Protocol with the demo's documents, which are in S3: two tools, named as at a gateway.

    python -m scripts.demo_documents BUCKET

It prints its address and serves on loopback until it is stopped.
"""

import re
import socket
import sys
from typing import Any, Final

import boto3
import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

HOST: Final = "127.0.0.1"
FIGURES: Final = re.compile(r"had (?P<visitors>\d+) visitors in (?P<days>\d+) days")


def server(bucket: str) -> MCPServer:
    """The server over a bucket, whose keys are the documents' names."""
    s3: Any = boto3.client("s3")
    tools = MCPServer("documents", log_level="CRITICAL")

    @tools.tool(name="documents___find_document")
    def find_document(topic: str) -> dict[str, Any]:
        """Find the document about a topic."""
        listed = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
        words = set(re.findall(r"\w+", topic.lower()))
        for one in listed:
            if words & set(re.findall(r"[^\W_]+", one["Key"].lower())):
                return {"name": one["Key"]}
        raise ToolError("not found")

    @tools.tool(name="documents___read_document")
    def read_document(name: str) -> dict[str, Any]:
        """Read a document by its name."""
        try:
            text = s3.get_object(Bucket=bucket, Key=name)["Body"].read(100_000).decode()
        except s3.exceptions.NoSuchKey:
            raise ToolError("not found") from None
        said = FIGURES.search(text)
        return {"text": text, **({name: int(number) for name, number in said.groupdict().items()} if said else {})}

    return tools


def main() -> None:
    """Serve until the process is ended."""
    bound = socket.create_server((HOST, 0))
    print(f"http://{HOST}:{bound.getsockname()[1]}/mcp", flush=True)
    app = server(sys.argv[1]).streamable_http_app()
    uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[bound])


if __name__ == "__main__":
    main()
