"""Pictures for the page and for files: a Vega-Lite description each."""
