"""Sources of models: one file per kind, chosen by the reference's scheme."""
