"""Training from the page: one child process at a time, and the folders its runs leave."""
