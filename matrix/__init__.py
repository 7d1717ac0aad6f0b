"""What to run: recipes in, points and jobs out. Pure: no network, no clock, git only to read a revision."""
