"""What the engine writes. One batch is one transaction: killed at any point, nothing half-written
is visible.
"""
