"""A page that shows a publication in a browser, without a server or a network."""
