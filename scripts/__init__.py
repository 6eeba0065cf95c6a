"""What a checkout of this project runs: builds, the local AWS, documents, models, benchmarks, the demo."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The checkout."""
