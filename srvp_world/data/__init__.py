"""Episodes on disk: one format for videos and for experience, read window by window."""
