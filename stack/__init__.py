"""A whole Supabase and the functions in front of it, for a machine with nothing but Python."""
