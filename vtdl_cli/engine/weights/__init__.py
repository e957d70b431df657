"""Models in and out: weights of other code become checkpoints; runs become files and folders for use elsewhere."""
