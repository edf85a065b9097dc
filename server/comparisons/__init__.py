"""Policies against each other on the same episodes, and what a community's size costs: requests, work, files."""
