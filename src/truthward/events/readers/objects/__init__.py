"""The reader of objects: collections, their constituents and pairs."""
