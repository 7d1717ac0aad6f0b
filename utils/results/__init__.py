"""Records after a run: collected, compared, kept."""
