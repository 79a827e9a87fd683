"""What a person sees of a run: the HTML report, the terminal table and the progress display."""
