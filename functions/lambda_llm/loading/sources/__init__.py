"""Where a model can be read from: one file a kind of source, chosen by the reference's scheme."""
