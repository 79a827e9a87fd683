"""What a network will cost before it is built: measured tables, and their correction by measurements."""
