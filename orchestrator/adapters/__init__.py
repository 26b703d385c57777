"""Effects behind ports: executors (ray_tune, serial) and stores (mlflow_store, memory)."""
