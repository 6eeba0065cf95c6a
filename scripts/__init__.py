"""Development scripts of a checkout: builds, the local AWS, documents, models, benchmarks, the demo."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""Root of the checkout."""
