# Facts worth a warning, which blocks nothing.

check "weights_are_repacked" {
  assert {
    condition     = lookup(var.environment, "LAMBDA_LLM_WEIGHTS", "auto") == "mapped" || var.model.size * 2 + local.process_bytes <= local.memory_bytes
    error_message = "The model is too large for two copies in memory during loading, so llama.cpp can't repack its weights, and prefill and decode are slower: use a smaller quantization, or accept this with environment = { LAMBDA_LLM_WEIGHTS = \"mapped\" }."
  }
}
