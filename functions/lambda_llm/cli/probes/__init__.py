"""What `lambda-llm verify` asks of a deployment; one probe a file."""
