"""What an export will read and write, and what is published already."""
