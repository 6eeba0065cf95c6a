"""The function between documents and vectors: texts to the input of a batch of embeddings, its answers to Parquet."""
