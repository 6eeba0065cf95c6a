"""examples/vpc, applied: a function in private subnets answers, and reads its model.

The local AWS runs functions as processes outside of any network of its own: that packets take the endpoint is left to a
real account.
"""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support.answers import EXPECTED
from support.applied import Applied, asked_by_url, terraform
from support.modules import TERRAFORM_FROM

FUNCTION = "lambda-llm-vpc"

FORGOTTEN = ["aws_security_group.function: update", "aws_vpc_endpoint.s3: update"]
"""The local AWS keeps neither an endpoint's policy nor an egress rule for a prefix list; AWS does."""


@pytest.fixture(scope="module")
def pushed(applied: Applied, demo_model: Path) -> None:
    """A model as the example's README has it pushed."""
    applied.aws.make_bucket("vpc-models")
    applied.push(demo_model, "s3://vpc-models/models/demo.gguf", "vpc")


pytestmark = [pytest.mark.needs("terraform", get=TERRAFORM_FROM), pytest.mark.usefixtures("pushed")]


@terraform("vpc", scope="module", name="stack")
def test_the_function_is_in_its_subnets_and_answers(stack: Any, applied: Applied) -> None:
    outputs = applied.outputs(stack)
    with closing(applied.aws.client("lambda")) as client:
        network = client.get_function_configuration(FunctionName=FUNCTION)["VpcConfig"]
    with closing(applied.aws.client("ec2")) as ec2:
        subnets = ec2.describe_subnets(SubnetIds=network["SubnetIds"])["Subnets"]
        assert len(subnets) == 2
        assert {subnet["VpcId"] for subnet in subnets} == {outputs["vpc_id"]}
        (group,) = ec2.describe_security_groups(GroupIds=network["SecurityGroupIds"])["SecurityGroups"]
        assert group["IpPermissions"] == []
        (endpoint,) = ec2.describe_vpc_endpoints()["VpcEndpoints"]
        tables = ec2.describe_route_tables(RouteTableIds=endpoint["RouteTableIds"])["RouteTables"]
        assert {one["SubnetId"] for table in tables for one in table["Associations"]} == set(network["SubnetIds"])
    assert EXPECTED in asked_by_url(outputs["url"])


@terraform("vpc", scope="module", name="stack")
def test_a_second_apply_changes_nothing_but_what_the_local_aws_forgets(stack: Any, applied: Applied) -> None:
    assert applied.changes(stack) == FORGOTTEN
