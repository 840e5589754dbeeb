"""Tools of the maintainers; not a part of the wheel."""
