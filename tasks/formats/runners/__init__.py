"""Scripts that answer with an exported model, one per format, each by itself."""
