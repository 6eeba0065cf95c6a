"""Every limit of AWS that this project depends on, with its source.

HCL has the invariants as literals, because people and scanners read HCL; a test compares the two. Prices are in
`lambda_llm.cost`.
"""

from typing import Final

MIB: Final = 1024 * 1024
GIB: Final = 1024 * MIB

# -- Invariants: the configuration of every function that runs a model ---------------------------------

MEMORY_MB: Final = 10_240
"""Memory of the function in MB, the largest there is.
Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

VCPUS: Final = 6
"""vCPUs that `MEMORY_MB` buys (one per 1,769 MB).
Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html"""

ARCHITECTURE: Final = "arm64"
"""Instruction set of the function, as `Architectures` spells it."""

RUNTIME: Final = "python3.13"
"""Managed runtime of the function. SnapStart needs Python 3.12 or later.
Source: https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html"""

PACKAGE_TYPE: Final = "Zip"
"""Package type of the function, as `PackageType` spells it."""

SNAPSTART_APPLY_ON: Final = "PublishedVersions"
"""Value of `SnapStart.ApplyOn`; `$LATEST` is never snapshotted.
Source: https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html"""

EPHEMERAL_STORAGE_MB: Final = 512
"""Size of /tmp in MB: SnapStart refuses more.
Source: https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html"""

# -- Time -------------------------------------------------------------------------------------------

TIMEOUT_MAX_SECONDS: Final = 900
"""Maximum timeout of a function.
Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

SNAPSTART_INIT_SECONDS: Final = 130
"""Limit on init under SnapStart, before-snapshot hooks included; a longer function timeout replaces it.
Source: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html"""

RESTORE_SECONDS: Final = 10
"""Limit on loading the runtime plus all after-restore hooks.
Source: https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks.html"""

# -- Scaling ----------------------------------------------------------------------------------------

CONCURRENCY: Final = 1_000
"""Requests that an account's functions process at once in a region, by default; new accounts have less.
Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

SCALING_ENVIRONMENTS: Final = 1_000
"""Environments that a function may be given in `SCALING_SECONDS`, the first ones included; what was not used is lost.
Source: https://docs.aws.amazon.com/lambda/latest/dg/scaling-behavior.html"""

SCALING_SECONDS: Final = 10
"""Time in which a function may be given `SCALING_ENVIRONMENTS`. Source: as above."""

REQUESTS_PER_CONCURRENCY: Final = 10
"""Requests a second for each unit of concurrency, above which more are throttled.
Source: https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html, section on requests per second"""

# -- Sizes ------------------------------------------------------------------------------------------

PACKAGE_UNZIPPED_BYTES: Final = 250 * MIB
"""Unzipped package, layers included.
Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

PACKAGE_DIRECT_UPLOAD_BYTES: Final = 50 * MIB
"""Largest zip that is uploaded directly; a larger one goes through S3. Source: as above."""

ENVIRONMENT_BYTES: Final = 4 * 1024
"""All environment variables of a function together. Source: as above."""

LAYERS: Final = 5
"""Layers of a function. Source: as above."""

TAGS: Final = 50
"""Tags of a resource. Source: https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html"""

BUFFERED_PAYLOAD_BYTES: Final = 6 * MIB
"""Request, and buffered response, of a synchronous invocation.
Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

STREAMED_RESPONSE_BYTES: Final = 200 * MIB
"""Streamed response.
Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html"""

ASYNC_PAYLOAD_BYTES: Final = 1 * MIB
"""Payload of an asynchronous invocation.
Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

FILE_DESCRIPTORS: Final = 1024
"""Open files of one environment. Source: as above."""

# -- SQS --------------------------------------------------------------------------------------------

SQS_MESSAGE_BYTES: Final = 1 * MIB
"""Largest message of a queue; a queue's own limit may be lower.
Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html"""

# -- S3 ---------------------------------------------------------------------------------------------

S3_PUT_BYTES: Final = 5 * GIB
"""Largest object that one PutObject writes; a larger one is uploaded in parts.
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html"""

S3_PART_BYTES_MIN: Final = 5 * MIB
"""Smallest part of an upload in parts, but for the last one.
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html"""

S3_PARTS: Final = 10_000
"""Most parts of an upload. Source: as above."""

S3_VECTORS_PUT: Final = 500
"""Most vectors of one PutVectors.
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-vectors-limitations.html"""

S3_VECTORS_PUT_BYTES: Final = 20 * MIB
"""Largest request to S3 Vectors. Source: as above."""

S3_VECTORS_DIMENSION: Final = 4096
"""Most numbers of a vector. Source: as above."""

S3_VECTORS_METADATA_BYTES: Final = 40 * 1024
"""All metadata of a vector together. Source: as above."""

NETWORK_MBPS: Final = 625
"""Network of one environment outside a VPC in megabits a second, by default.
Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

# -- Durable functions ------------------------------------------------------------------------------

DURABLE_EXECUTION_SECONDS: Final = 31_622_400
"""Longest time that a durable execution may take: 366 days.
Source: https://docs.aws.amazon.com/lambda/latest/api/API_DurableConfig.html"""

DURABLE_RETENTION_DAYS: Final = 90
"""Longest time for which the history of a durable execution is kept. Source: as above."""

DURABLE_OPERATIONS: Final = 3_000
"""Most operations of one durable execution.
Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""

DURABLE_BYTES: Final = 100 * MIB
"""Most data that one durable execution may have written. Source: as above."""

DURABLE_PAYLOAD_BYTES: Final = 262_144
"""Most bytes of a step's result; a larger one fails the execution.
Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html; the service's words are in
https://github.com/aws/aws-durable-execution-sdk-python/issues/342"""

DURABLE_INVOKE_BYTES: Final = 1 * MIB
"""Most bytes of the payload of a chained invocation and of its result, and of a callback's result.
Source: https://docs.aws.amazon.com/lambda/latest/api/API_SendDurableExecutionCallbackSuccess.html"""

DURABLE_NAME: Final = r"[\x20-\x7E]{1,256}"
"""Names of operations. Source: https://docs.aws.amazon.com/lambda/latest/api/API_OperationUpdate.html"""

APPCONFIG_BYTES: Final = 1 * MIB
"""Most bytes of a hosted configuration of AppConfig.
Source: https://docs.aws.amazon.com/appconfig/latest/userguide/appconfig-free-form-configurations-creating.html"""

# -- Batches ----------------------------------------------------------------------------------------

MAP_CONCURRENCY: Final = 10_000
"""Child executions of a Distributed Map at once.
Source: https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html"""

BATCH_ARRAY_SIZE: Final = 10_000
"""Most jobs of an array of AWS Batch; the least is 2.
Source: https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_BatchArrayProperties.html"""

BEDROCK_JOB_RECORDS: Final = 50_000
"""Most records of a batch job of Bedrock, by default.
Source: https://docs.aws.amazon.com/general/latest/gr/bedrock.html"""

BEDROCK_JOB_BYTES: Final = 1_000_000_000
"""Largest input file of a batch job of Bedrock, by default.
Source: https://docs.aws.amazon.com/general/latest/gr/bedrock.html"""

BEDROCK_JOBS: Final = 20
"""Batch jobs of Bedrock that are submitted or in progress at once, of a model in a region, by default.
Source: https://docs.aws.amazon.com/general/latest/gr/bedrock.html"""
