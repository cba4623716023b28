"""Training data looked at through a model: strays, people twice, copies, and overlap with a benchmark."""
