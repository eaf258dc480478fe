"""What people ask of stored regimes; each answer is one SQL query."""
