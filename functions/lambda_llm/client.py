"""Sign requests to a Function URL with IAM, in any OpenAI client.

```python
import httpx2
from openai import OpenAI
from lambda_llm.client import function_url_auth

url = "https://abc.lambda-url.eu-central-1.on.aws"
client = OpenAI(base_url=f"{url}/v1", api_key="unused", http_client=httpx2.Client(auth=function_url_auth(url)))
```

The same object signs for `httpx2.AsyncClient` in `AsyncOpenAI`, for LangChain's `ChatOpenAI(http_client=…,
http_async_client=…)`, and for clients of `httpx`, such as LiteLLM's `litellm.client_session`. For tools that only take
a base URL and an API key there is `lambda-llm proxy`.
"""

from lambda_llm.aws.errors import CredentialsError
from lambda_llm.aws.function_url import function_url_auth
from lambda_llm.aws.signing import SigV4Auth

__all__ = ["CredentialsError", "SigV4Auth", "function_url_auth"]
