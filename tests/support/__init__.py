"""What several tests share: makers of files, and runners of real processes."""
