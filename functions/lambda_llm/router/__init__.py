"""One address for every model: which backend answers, for whom, and what it may cost."""
