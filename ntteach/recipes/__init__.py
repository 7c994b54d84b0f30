"""Whole training runs in plain torch with a teacher, short enough to read and change."""
