"""Adds this package to sys.path, so that a clone works like an installed package, and registers its checks."""

import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
import_module("lambda_llm.policies.register")
