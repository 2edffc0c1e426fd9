"""A pipeline as graphs that other runtimes run: ONNX files, and one JSON file that says how they go together."""
