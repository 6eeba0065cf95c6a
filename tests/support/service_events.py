"""Events of AWS's services, shortened to the fields by which they are known.

Sources: https://docs.aws.amazon.com/lambda/latest/dg/lambda-services.html and, for pipes,
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-batching-concurrency.html
"""

from typing import Any, Final

EVENTS: Final[dict[str, Any]] = {
    "sqs": {"Records": [{"messageId": "1", "body": "{}", "eventSource": "aws:sqs"}]},
    "s3": {"Records": [{"eventSource": "aws:s3", "s3": {"object": {"key": "a"}}}]},
    "sns": {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": "{}"}}]},
    "eventbridge": {"version": "0", "source": "aws.s3", "detail-type": "Object Created", "detail": {}},
    "kafka": {"eventSource": "aws:kafka", "records": {"topic-0": []}},
    "logs": {"awslogs": {"data": "H4sIAAAAAAAA"}},
    "pipe": [{"messageId": "1", "body": "{}", "eventSource": "aws:sqs"}],
    "pipe with a transformer": [{"model": "demo", "messages": [{"role": "user", "content": "Hello"}]}],
    "destination": {"version": "1.0", "requestContext": {"condition": "Success"}, "requestPayload": {}},
}
"""One of each shape."""
