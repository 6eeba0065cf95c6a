"""Agents on Lambda durable functions: a loop of thinking and tool calls that outlives invocations."""
