"""Set up a checkout: environments, locked packages, llama.cpp, the functions' zips. Only the zips need packages."""
