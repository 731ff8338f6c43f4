"""A model server for development, tests and demonstrations, with TensorFlow Serving's interface."""
