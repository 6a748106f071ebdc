"""Fault injection: real servers and processes under seeded calls and faults, and laws that are checked afterwards."""
