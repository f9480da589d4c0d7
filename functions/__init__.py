"""Everything that touches the world: HTTP in, Supabase out. Files are made in exporters."""
