"""Parts of the HTML report: SVG pictures without a script, and highlighted lines of source."""
