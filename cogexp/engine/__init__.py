"""Text -> embeddings -> latents -> frames, with the real CogVideoX classes at any of the three dials."""
