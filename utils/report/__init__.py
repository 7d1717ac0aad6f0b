"""Records as pictures and pages. Drawing is done in an environment of its own: utils/report/draw.py."""
