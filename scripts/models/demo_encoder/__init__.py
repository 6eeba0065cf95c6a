"""The parts of `train_demo_encoder.py`: text, network, and GGUF files."""
