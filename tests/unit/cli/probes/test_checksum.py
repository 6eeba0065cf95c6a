"""The probe of the model's checksum."""

import pytest

from lambda_llm.cli.probes.base import Outcome
from lambda_llm.cli.probes.checksum import PROBE
from support.fake_deployment import Deploy, configuration


def test_a_model_that_nothing_verified_is_wrong_on_lambda(deploy: Deploy) -> None:
    with deploy(changes={"checksums": []}) as stage:
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.WRONG
    assert "by its header alone" in finding.sentence


def test_a_local_file_has_nothing_to_be_verified_by(deploy: Deploy) -> None:
    with deploy(signed=False, changes={"checksums": []}) as stage:
        assert PROBE.run(stage.deployment).outcome is Outcome.UNKNOWN


def test_a_checksum_of_the_parts_is_wrong(deploy: Deploy) -> None:
    with deploy() as stage:
        stage.aws.answers["HeadObject"] = {"ChecksumType": "COMPOSITE", "ChecksumCRC64NVME": "AAAAAAAAAAA="}
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.WRONG
    assert "of the kind COMPOSITE" in finding.sentence


def test_the_pinned_version_is_looked_at(deploy: Deploy) -> None:
    with deploy() as stage:
        finding = PROBE.run(stage.deployment)
    (asked,) = [params for name, params in stage.aws.calls if name == "HeadObject"]
    assert (asked["Bucket"], asked["Key"], asked["VersionId"]) == ("models", "demo.gguf", "v1")
    assert finding.figures == {
        "verified_by": ["CRC64NVME", "SHA-256"],
        "s3_checksum_type": "FULL_OBJECT",
        "s3_crc64nvme": "AAAAAAAAAAA=",
    }


@pytest.mark.parametrize(
    ("operation", "answer", "said"),
    [
        ("HeadObject", ("403", "Forbidden"), "the credentials may not call s3:HeadObject"),
        ("HeadObject", ("404", "Not Found"), "s3:HeadObject found nothing"),
        ("HeadObject", {}, "S3 has no CRC64NVME of it"),
        ("GetFunctionConfiguration", configuration(Environment={"Variables": {}}), "do not name 'LAMBDA_LLM_MODEL'"),
    ],
)
def test_the_server_s_word_is_enough_where_s3_does_not_tell(
    deploy: Deploy, operation: str, answer: object, said: str
) -> None:
    with deploy() as stage:
        stage.aws.answers[operation] = answer  # type: ignore[assignment]  # one of the kinds
        finding = PROBE.run(stage.deployment)
    assert finding.outcome is Outcome.OK
    assert said in finding.sentence


def test_an_older_server_does_not_tell(deploy: Deploy) -> None:
    with deploy(changes={"checksums": "left out"}) as stage:
        assert PROBE.run(stage.deployment).outcome is Outcome.UNKNOWN
