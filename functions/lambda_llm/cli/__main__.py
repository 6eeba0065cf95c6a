"""`python -m lambda_llm.cli`: the command line where its script is not installed."""

from lambda_llm.cli import main

main()
