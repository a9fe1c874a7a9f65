"""The embedded model: a small CogVideoX of the real classes, its tokenizer, its world and its training."""
