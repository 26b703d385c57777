"""Theory: the dynamics of linear BYOL and the hierarchical latent tree, as functions of arrays."""
