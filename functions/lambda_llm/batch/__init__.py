"""The functions of a batch: index the input, answer its parts, join the answers."""
