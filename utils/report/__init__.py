"""Records as pictures and pages. Drawing is done in an environment of its own: utils/report/to_svg.py."""
