"""Azure Blob Storage and Data Lake Storage as a storage."""
