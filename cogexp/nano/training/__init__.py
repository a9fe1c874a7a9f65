"""Training of the embedded model's parts: data, the loop that they share, and one file a part."""
