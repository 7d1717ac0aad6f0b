"""Tables, lines of progress and Markdown."""
