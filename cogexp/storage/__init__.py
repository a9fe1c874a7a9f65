"""What lies on disk: files that appear complete and last through a power cut, and who may write them."""
