"""A table of budgets, as modules/router makes it."""

from contextlib import closing

from scripts.local_aws.server import LocalAWS


def make_table(aws: LocalAWS, name: str) -> str:
    """Create it; returns its name."""
    with closing(aws.client("dynamodb")) as dynamodb:
        dynamodb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in ("pk", "sk")],
            BillingMode="PAY_PER_REQUEST",
        )
        dynamodb.update_time_to_live(
            TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at"}
        )
    return name
