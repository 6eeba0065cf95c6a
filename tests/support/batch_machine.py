"""The state machine of `modules/batch`, as the module writes it with a GPU backend."""

import json
import re
from typing import Final

from support.modules import ROOT

TEMPLATE: Final = ROOT / "modules/batch/machine.asl.json"


def definition(index: str, worker: str) -> str:
    """For `CreateStateMachine`.

    Args:
        index: ARN of the function that indexes and finalizes.
        worker: ARN of the one that answers parts.
    """
    values = {"partition": "aws", "index": index, "worker": worker, "seconds": "600"}
    text = re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], TEMPLATE.read_text(encoding="utf-8"))
    return json.dumps(json.loads(text))
