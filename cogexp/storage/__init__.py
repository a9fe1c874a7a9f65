"""What lies on disk: files that last through a power cut, who may write them, and what is read from them."""
