"""`python -m lambda_llm.cli`: the command line without its installed script."""

from lambda_llm.cli import main

main()
