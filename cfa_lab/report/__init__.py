"""Many run folders as one study: collected, compared, and shown as page, tables and charts."""
