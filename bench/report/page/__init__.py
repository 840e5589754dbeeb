"""``compare --format html``: one file for a browser, with all that a comparison found, and nothing from elsewhere."""
