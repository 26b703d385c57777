"""MLflow as a store."""
