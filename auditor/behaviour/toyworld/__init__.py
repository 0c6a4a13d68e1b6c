"""Toy data in the competition's real formats: shards, tokenizer, byte side files, and the varied validation stream."""
