"""Learns policies on smartgrid_core, evaluates them, writes runs."""
