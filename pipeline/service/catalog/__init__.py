"""What the service offers: runs, stored exports, comparisons and artifacts, found and read."""
