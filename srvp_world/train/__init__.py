"""Training: one loop, its logs and its snapshots, for every model and every data set."""
