"""Tools of agents: what one is, and where they come from."""
