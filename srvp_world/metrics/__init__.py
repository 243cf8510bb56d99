"""Metrics: tensors in, numbers out. They know nothing of models, data sets or files."""
