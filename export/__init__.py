"""From a trained run to a verified SavedModel."""
