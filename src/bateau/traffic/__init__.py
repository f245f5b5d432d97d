"""Planes, one folder each. No plane imports another."""
