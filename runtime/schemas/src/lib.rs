//! Schema files: what a crawl found, as RON for git; merged, compared, and read by sources.
