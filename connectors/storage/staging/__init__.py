"""Files that wait to be published, and the claims of those who publish them."""
