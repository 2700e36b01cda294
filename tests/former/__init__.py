"""What earlier versions have left: their databases, files and YAML, to be upgraded."""
