"""The GitHub side: what a comment asks for, what GitHub answers, what is written back."""
