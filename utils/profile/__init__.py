"""Profiles: what a device did in each step, from traces that torch writes."""
