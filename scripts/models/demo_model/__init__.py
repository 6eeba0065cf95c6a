"""The parts of `train_demo_model.py`: text, network, tokenizer, GGUF file and its examination."""
