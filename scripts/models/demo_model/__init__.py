"""The parts of `train_demo_model.py`: text, batches, network, tokenizer, GGUF export and evaluation."""
