"""The parts of `train_demo_encoder.py`: batches, network, tokenizer, GGUF export and evaluation."""
