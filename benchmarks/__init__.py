"""The suite: what the product does per second, beside named peers in the same run."""
