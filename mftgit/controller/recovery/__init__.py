"""Be made anew where a controller was lost, and notice that another took its place."""
