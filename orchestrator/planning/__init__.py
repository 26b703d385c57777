"""From a spec to cells, trials and what is left to train."""
